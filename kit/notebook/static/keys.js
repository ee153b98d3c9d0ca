let keyForms = 0;

function render({ model, el }) {
  keyForms += 1;
  const prefix = `kit-keys-${keyForms}-${Math.random().toString(36).slice(2, 8)}`;
  const where = make("span", { class: "soft" });
  const problem = make("div", { class: "said bad", role: "alert", hidden: true });
  const body = make("tbody");
  const none = make("div", { class: "soft none" }, "no key is stored yet");
  const table = make("table", { "aria-label": "stored keys" },
    make("thead", {}, make("tr", {}, ...["exchange", "account", "where", ""].map((name) => make("th", { scope: "col" }, name)))), body);
  const said = make("div", { class: "said", role: "status", "aria-live": "polite" });

  // -- the form: not a <form>, so that no browser offers to keep what is typed ----------------------------------------

  function field(name, label, { secret = false, placeholder = "", list = null } = {}) {
    const id = `${prefix}-${name}`;
    const input = make("input", {
      id, type: secret ? "password" : "text", autocomplete: secret ? "new-password" : "off", spellcheck: "false",
      autocapitalize: "off", placeholder, list, class: secret ? "secret" : "plain", "data-name": name, "data-lpignore": "true", "data-1p-ignore": true,
    });
    const row = make("div", { class: "entry" }, make("label", { for: id }, label), input);
    return { name, input, row };
  }

  const exchange = field("exchange", "exchange", { placeholder: "binance" });
  const account = field("account", "account", { placeholder: "main" });
  const key = field("key", "API key", { secret: true });
  const secret = field("secret", "secret", { secret: true });
  const password = field("password", "password", { secret: true, placeholder: "only where the exchange has one" });
  const store = make("select", { id: `${prefix}-store` }, make("option", { value: "keyring" }, "system keyring"), make("option", { value: "file" }, "encrypted file"));
  const storeRow = make("div", { class: "entry" }, make("label", { for: `${prefix}-store` }, "keep in"), store);
  const passphrase = field("passphrase", "passphrase", { secret: true });
  const again = field("again", "once more", { secret: true });
  const add = make("button", { type: "button", class: "add" }, "Store the key");
  const unlock = make("button", { type: "button", class: "unlock" }, "Unlock the file");
  const clear = make("button", { type: "button" }, "Clear");
  const help = make("div", { class: "note soft" });
  const secrets = [key, secret, password, passphrase, again];
  const entry = make("div", { class: "entries", role: "group", "aria-label": "enter a key" },
    exchange.row, account.row, key.row, secret.row, password.row, storeRow, passphrase.row, again.row, help,
    make("div", { class: "foot" }, add, unlock, clear), said);
  const fold = make("details", {}, make("summary", {}, "Add a key"), entry);
  const root = make("div", { class: "kit kit-keys", "data-lm-suppress-shortcuts": "true" },
    make("div", { class: "head" }, make("b", {}, "API keys"), where), problem, table, none, fold);
  el.append(root);
  let state = null;

  // What was typed is on the page no longer than until it is sent, left or cleared.
  function wipe(fields = secrets) {
    for (const { input } of fields) input.value = "";
  }

  function tell(answer) {
    said.classList.toggle("bad", !answer.ok);
    setText(said, answer.text ?? "");
  }

  async function ask(button, label, content) {
    const before = button.textContent;
    button.disabled = true;
    setText(button, label);
    const answer = await view.command(content);
    button.disabled = false;
    setText(button, before);
    return answer;
  }

  async function send(what, button, needed) {
    const missing = needed.find(({ input }) => !input.value.trim());
    if (missing) { tell({ ok: false, text: `enter the ${missing.row.firstChild.textContent}` }); missing.input.focus(); return; }
    if (!again.row.hidden && again.input.value !== passphrase.input.value) {
      tell({ ok: false, text: "the two passphrases differ" });
      passphrase.input.value = again.input.value = "";
      passphrase.input.focus();
      return;
    }
    const content = { do: what, exchange: exchange.input.value, account: account.input.value, store: store.value };
    const typed = what === "unlock" ? [passphrase] : secrets;
    for (const { name, input } of typed) if (name !== "again") content[name] = input.value;
    wipe(typed);
    const asking = ask(button, what === "add" ? "storing…" : "unlocking…", content);
    for (const { name } of typed) delete content[name];
    const answer = await asking;
    tell(answer);
    if (answer.ok && what === "add") { exchange.input.value = account.input.value = ""; exchange.input.focus(); }
  }

  const submit = () => send("add", add, [exchange, key, secret, ...(passphrase.row.hidden ? [] : [passphrase])]);
  add.addEventListener("click", submit);
  unlock.addEventListener("click", () => send("unlock", unlock, [passphrase]));
  clear.addEventListener("click", () => { wipe(); tell({ ok: true, text: "" }); });
  entry.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.target.matches("input")) return;
    event.preventDefault();
    event.stopPropagation();
    submit();
  });
  store.addEventListener("change", shape);

  function shape() {
    if (!state) return;
    const file = store.value === "file";
    passphrase.row.hidden = !file || state.state === "open";
    again.row.hidden = !file || state.state !== "new";
    unlock.hidden = !file || state.state !== "locked";
    setText(passphrase.row.firstChild, state.state === "new" ? "new passphrase" : "passphrase");
    const words = { new: "The file is encrypted under a passphrase that nobody can recover: several words, 8 characters at least.",
      locked: "The file is locked: its passphrase is needed once per kernel.", open: "" }[state.state];
    setText(help, file ? words : "");
    help.hidden = !help.textContent;
  }

  // -- what is stored ------------------------------------------------------------------------------------------------

  function line([name, of, place, used, report]) {
    const known = `${name}/${of}`;
    const check = make("button", { type: "button", "aria-label": `check ${known}`, title: "ask the exchange what the key may do; no order is placed" }, "check");
    const drop = make("button", { type: "button", "aria-label": `remove ${known}` }, "remove");
    check.addEventListener("click", async () => {
      const answer = await ask(check, "asking…", { do: "check", exchange: name, account: of });
      if (!answer.late) tell(answer);
    });
    let sure = 0;
    drop.addEventListener("click", async () => {
      if (!sure) {
        setText(drop, "really?");
        sure = setTimeout(() => { sure = 0; setText(drop, "remove"); }, 4000);
        return;
      }
      clearTimeout(sure);
      sure = 0;
      setText(drop, "remove");
      tell(await ask(drop, "removing…", { do: "remove", exchange: name, account: of }));
    });
    const acts = [...(used ? [check] : []), ...(place === "environment" ? [] : [drop])];
    const row = make("tr", {}, ...[name, of, used ? place : `${place} (not used)`].map((text) => make("td", {}, text)), make("td", { class: "act" }, ...acts));
    if (!report || !used) return [row];
    return [row, make("tr", { class: "report" }, make("td", { colspan: "4" }, report))];
  }

  const view = connect(model, root, {
    patience: 30000, // an exchange's rules are looked up, a key is made from the passphrase, the exchange is asked
    paint(frame) {
      if (JSON.stringify(frame.keys) !== JSON.stringify(state?.keys)) body.replaceChildren(...frame.keys.flatMap(line));
      const first = state === null;
      state = frame;
      none.hidden = frame.keys.length > 0;
      table.hidden = frame.keys.length === 0;
      setText(problem, frame.problem);
      problem.hidden = !frame.problem;
      const [ring, file] = store.options;
      ring.disabled = !frame.keyring;
      setText(ring, frame.keyring ? `system keyring (${frame.keyring})` : "system keyring: none here");
      file.title = frame.file;
      if (first) { store.value = frame.keyring ? "keyring" : "file"; fold.open = frame.keys.length === 0; }
      setText(where, frame.state === "locked" ? "the encrypted file is locked" : "");
      where.title = frame.file;
      shape();
    },
  });
  view.command({ do: "look" }); // another page, or a terminal, may have changed something
  return () => { wipe(); view.close(); };
}

export default { render };
