const STATES = ["off", "paper", "armed", "live"];
const CHECK_MARKS = { passed: "✓", warning: "!", failed: "✕" };
const capital = (word) => word[0].toUpperCase() + word.slice(1);

function render({ model, el }) {
  const banner = make("div", { class: "banner", role: "status", hidden: true });
  const bannerWord = make("b"), bannerText = make("span");
  banner.append(bannerWord, bannerText);
  const name = make("b"), where = make("span", { class: "soft where" });
  const who = make("div", { class: "who" }, name, where);
  const steps = make("div", { class: "steps", role: "group", "aria-label": "trading state" });
  const step = Object.fromEntries(STATES.map((state) => [state, buildStep(state)]));
  steps.append(...STATES.map((state) => step[state].button));
  const run = make("button", { type: "button", class: "go" });
  const pause = make("button", { type: "button" });
  const runs = make("div", { class: "run" }, pause, run);

  const lines = make("div", { class: "lines", role: "status", "aria-live": "polite" });
  const summary = make("summary");
  const list = make("tbody");
  const checks = make("details", { class: "checks" }, summary, make("table", { "aria-label": "pre-flight checks" }, list));
  const entry = make("input", { type: "text", autocomplete: "off", spellcheck: "false", autocapitalize: "off" });
  const ask = make("label", {});
  const confirm = make("button", { type: "submit", class: "confirm" }, "Go live");
  const note = make("div", { class: "note", role: "alert" });
  const form = make("form", { class: "confirmation", novalidate: true, hidden: true }, ask, entry, confirm, note);
  const more = make("div", { class: "more", hidden: true }, lines, form, checks);
  const root = make("div", { class: "kit kit-switch", "data-lm-suppress-shortcuts": "true" },
    make("div", { class: "pieces" }, banner, who, steps, runs, more));
  el.append(root);
  let frame = null, wantsLive = false, shown = "", told = 0, skew = 0;
  const ids = `kit-switch-${Math.random().toString(36).slice(2, 8)}`;
  entry.id = `${ids}-entry`;
  note.id = `${ids}-note`;
  ask.setAttribute("for", entry.id);
  entry.setAttribute("aria-describedby", note.id);

  function buildStep(state) {
    const label = make("span", { class: "label" }, capital(state)), meaning = make("span", { class: "meaning" });
    const button = make("button", { type: "button", class: "step", "data-state": state }, label, meaning);
    button.addEventListener("click", () => choose(state));
    return { button, meaning };
  }

  async function send(content) {
    setText(note, "");
    const answer = await view.command(content);
    if (!answer.ok) complain(answer.text);
    return answer.ok;
  }

  function complain(text) {
    if (form.hidden) { said = { ok: false, text }; paint(frame); } else setText(note, text);
  }
  let said = null;

  function choose(state) {
    said = null;
    if (!frame || (frame.busy && state !== "off") || state === frame.state) { if (state === "armed" || state === "live") entry.focus(); return; }
    if (state === "live" && frame.state === "armed") { entry.focus(); return; }
    wantsLive = state === "live";
    send({ do: { off: "off", paper: "paper", armed: "arm", live: "arm" }[state] });
  }

  run.addEventListener("click", () => { said = null; send({ do: frame.running ? "stop" : "start" }); });
  pause.addEventListener("click", () => { said = null; send({ do: frame.strategy.paused ? "resume" : "pause" }); });
  function submit() {
    if (!frame?.busy) send({ do: "confirm", text: entry.value });
  }
  form.addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  // JupyterLab swallows the submission that Enter would cause by itself.
  entry.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    submit();
  });
  entry.addEventListener("input", () => setText(note, ""));
  steps.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const buttons = STATES.map((state) => step[state].button).filter((button) => !button.disabled);
    buttons[(buttons.indexOf(document.activeElement) + by + buttons.length) % buttons.length]?.focus();
  });

  // -- what is shown -------------------------------------------------------------------------------------------------

  const live = () => frame.accounts.filter(([, mode]) => mode === "live");
  const place = ([exchange, , pairs, at]) => `${exchange} ${pairs}${at ? `, ${at}` : ""}`;
  const clock = (time) => new Date(time * 1000).toLocaleTimeString([], { hour12: false });

  function showBanner() {
    const on = frame.state === "live" ? live() : [];
    const tests = on.length > 0 && on.every(([, , , at]) => at.startsWith("testnet"));
    const kind = frame.read_only ? "reading" : frame.state === "live" ? (tests ? "testnet" : "live") : frame.state === "armed" ? "armed" : "";
    banner.hidden = !kind;
    banner.dataset.kind = kind;
    (root.closest(".kit-cockpit") ?? root).dataset.banner = kind;
    setText(bannerWord, { reading: "READ ONLY", live: "LIVE", testnet: "LIVE ON TESTNET", armed: "ARMED", "": "" }[kind]);
    setText(bannerText, {
      reading: frame.read_only,
      live: `real orders, real money: ${on.map(place).join("; ")}`,
      testnet: `real orders, no real money: ${on.map(place).join("; ")}`,
      armed: "checked and ready; the strategy still trades on paper until you confirm",
      "": "",
    }[kind]);
  }

  function showSteps() {
    const at = STATES.indexOf(frame.state);
    STATES.forEach((state, index) => {
      const { button, meaning } = step[state];
      const current = state === frame.state;
      setText(meaning, frame.meanings[state]);
      button.classList.toggle("current", current);
      button.classList.toggle("passed", index < at);
      if (current) button.setAttribute("aria-current", "step"); else button.removeAttribute("aria-current");
      const refused = frame.read_only || !frame.in_use || (!frame.running && state !== "off");
      button.disabled = Boolean(refused || (frame.busy && state !== "off")) && !current;
      button.title = frame.read_only ? `read-only: ${frame.read_only}`
        : !frame.in_use ? "no connector yet: await core.add_connector(…)"
        : !frame.running && state !== "off" ? "start the core first"
        : { off: "cancel every order, ask the exchange, trade no more", paper: "trade an account that exists only here",
          armed: "check everything that live trading needs", live: "check, then confirm by typing" }[state];
    });
  }

  function showRun() {
    setText(run, frame.running ? "Stop" : "Start");
    run.title = frame.running
      ? "cancel every order, end connections and tasks; the cells that connect start it again"
      : "start the clock and the strategy";
    run.disabled = Boolean(frame.read_only || !frame.in_use || (frame.busy && !frame.running) || frame.busy === "stopping");
    pause.hidden = !frame.strategy || !frame.running;
    setText(pause, frame.strategy?.paused ? "Resume" : "Pause");
    pause.title = frame.strategy?.paused ? "let the strategy act again from the next tick on" : "cancel the strategy's orders and keep it from acting";
    pause.disabled = Boolean(frame.read_only);
  }

  function showLines() {
    const rows = [];
    if (frame.busy) rows.push(["busy", "…", `${frame.busy}`]);
    if (said) rows.push(["bad", "✕", said.text]);
    else if (frame.outcome && frame.outcome[3]) rows.push([frame.outcome[2] ? "" : "bad", frame.outcome[2] ? "✓" : "✕", frame.outcome[3]]);
    const word = frame.last_word ? `the exchange's word: ${frame.last_word}` : "";
    if (frame.reason) rows.push(["warn", "!", `${frame.state} since ${clock(frame.since)}, ${frame.reason}`, word]);
    else if (word) rows.push(["", "✓", word]);
    if (frame.strategy?.paused) rows.push(["warn", "‖", `${frame.strategy.name} is paused`, frame.reason && frame.strategy.reason.includes(frame.reason) ? "" : frame.strategy.reason]);
    const key = JSON.stringify(rows);
    if (key === shown) return rows.length;
    shown = key;
    lines.replaceChildren(...rows.map(([kind, mark, text, rest]) =>
      make("div", { class: `line ${kind}` }, make("span", { class: "mark", "aria-hidden": "true" }, mark),
        make("span", {}, text, rest ? make("span", { class: "soft" }, ` ${rest}`) : ""))));
    return rows.length;
  }

  let drawn = "";
  function showChecks() {
    checks.hidden = frame.checks.length === 0;
    const key = JSON.stringify([frame.checks, frame.state]);
    if (key === drawn) return;
    drawn = key;
    const count = (outcome) => frame.checks.filter((check) => check[2] === outcome).length;
    const named = (outcome) => outcome === "warning" && count(outcome) > 1 ? "warnings" : outcome;
    const parts = ["failed", "warning", "passed"].filter(count).map((outcome) => `${count(outcome)} ${named(outcome)}`);
    setText(summary, `pre-flight: ${parts.join(", ")}`);
    checks.open = frame.state === "armed" || (count("failed") > 0 && frame.state !== "live");
    list.replaceChildren(...frame.checks.map(([what, connector, outcome, text]) =>
      make("tr", { "data-outcome": outcome },
        make("td", { class: "outcome" }, make("span", { class: "mark", "aria-hidden": "true" }, CHECK_MARKS[outcome]), outcome),
        make("th", { scope: "row" }, what, connector ? make("span", { class: "soft" }, ` ${connector}`) : ""),
        make("td", {}, text))));
  }

  function showForm() {
    const armed = frame.state === "armed" && !frame.read_only;
    const appears = armed && form.hidden;
    form.hidden = !armed;
    setText(ask, `To go live type ${frame.confirmations.join(" or ")}`);
    confirm.disabled = entry.disabled = Boolean(frame.busy);
    if (appears) { entry.value = ""; setText(note, ""); }
    // Not before it takes the focus: the core is armed a moment before the errand that armed it has ended.
    if (armed && wantsLive && !entry.disabled) { entry.focus(); wantsLive = false; }
  }

  function paint(now) {
    if (!now) return;
    frame = now;
    if (frame.outcome && frame.outcome[0] !== told) { told = frame.outcome[0]; said = null; }
    setText(name, frame.core);
    setText(where, frame.accounts.map(([exchange, mode, , at]) => `${exchange} ${mode}${at.startsWith("testnet") ? ", testnet" : ""}`).join(" · ") || "no connector");
    where.title = frame.accounts.map(place).join("\n");
    root.classList.toggle("reading", Boolean(frame.read_only));
    showBanner();
    showSteps();
    showRun();
    const any = showLines();
    showChecks();
    showForm();
    more.hidden = !any && checks.hidden && form.hidden;
    countdown();
  }

  function countdown() {
    if (!frame || frame.state !== "armed" || !frame.until) return;
    const left = Math.max(0, Math.round(frame.until - (Date.now() / 1000 - skew)));
    setText(step.armed.meaning, `${left} s left`);
  }
  const beat = setInterval(countdown, 500);

  const view = connect(model, steps, { paint(now) { skew = Date.now() / 1000 - now.now; paint(now); } });
  return () => { clearInterval(beat); view.close(); };
}

export default { render };
