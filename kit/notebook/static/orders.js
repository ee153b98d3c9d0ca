const ORDER_COLUMNS = ["side", "price", "amount", "filled", "pair", "state", "age", "exchange"];

function render({ model, el }) {
  const title = make("b"), state = make("span", { class: "badge", role: "status" });
  const said = make("div", { class: "said", role: "status", "aria-live": "polite" });
  const head = ORDER_COLUMNS.map((name) => make("th", { scope: "col", class: name }, name));
  const body = make("tbody");
  const none = make("div", { class: "soft none" }, "no open orders");
  const last = make("th", { scope: "col", class: "act" }, make("span", { class: "sr" }, "cancel"));
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...head, last)), body);
  const box = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "open orders" }, table);
  const root = make("div", { class: "kit kit-orders", "data-lm-suppress-shortcuts": "true" }, make("div", { class: "head" }, title, state), box, none, said);
  el.append(root);
  const rows = new Map();
  let skew = 0, heard = null;

  function build(key) {
    const cells = Object.fromEntries(ORDER_COLUMNS.map((name) => [name, make("td", { class: name })]));
    const button = make("button", { type: "button" }, "cancel");
    const element = make("tr", { "data-order": key }, ...Object.values(cells), make("td", { class: "act" }, button));
    const row = { element, cells, button, created: 0, asked: false };
    button.addEventListener("click", () => cancel(key, row));
    return row;
  }

  async function cancel(key, row) {
    row.asked = true;
    row.button.disabled = true;
    setText(said, "");
    const answer = await view.command({ do: "cancel", row: key });
    said.classList.toggle("bad", !answer.ok);
    setText(said, answer.text);
    if (!answer.ok) { row.asked = false; relabel(row); }
  }

  function relabel(row) {
    const cancelling = row.asked || row.state === "pending cancel";
    row.button.disabled = cancelling;
    setText(row.button, cancelling ? "cancelling" : "cancel");
    row.button.setAttribute("aria-label", `${cancelling ? "cancelling" : "cancel"} ${row.what}`);
  }

  function fill(row, [exchange, pair, side, price, amount, filled, state, created, reason]) {
    const values = { exchange, pair, side, price, amount, filled: filled === "0" ? "—" : filled, state };
    for (const [name, value] of Object.entries(values)) setText(row.cells[name], value);
    row.cells.side.className = `side ${side === "buy" ? "bid" : "ask"}`;
    row.cells.state.title = reason;
    row.created = created;
    if (row.state === "pending cancel" && state !== row.state) row.asked = false; // the cancel failed: it rests again
    row.state = state;
    row.what = `${side} ${amount} ${pair} at ${price}`;
    relabel(row);
  }

  function age(row) {
    const seconds = Math.max(0, Date.now() / 1000 - skew - row.created);
    const text = seconds < 120 ? `${Math.floor(seconds)} s` : seconds < 7200 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
    setText(row.cells.age, text);
  }

  function remove(key) {
    const row = rows.get(key);
    if (!row) return;
    const next = row.element.nextElementSibling ?? row.element.previousElementSibling;
    const focused = row.element.contains(document.activeElement);
    row.element.remove();
    rows.delete(key);
    if (focused) (next?.querySelector("button") ?? box).focus(); // the keyboard goes on where it was
  }

  function hear(news) {
    const number = news?.number ?? 0;
    if (news && heard !== null && number !== heard) {
      said.classList.toggle("bad", !news.ok);
      setText(said, news.text);
    }
    heard = number; // what was said before this view appeared is no news
  }

  const view = connect(model, root, {
    // Frames between two paints must all take effect, so what changed is gathered until the next one.
    merge(before, frame) {
      if (frame.full) return { ...frame, all: true };
      const changed = { ...before.rows, ...frame.rows };
      for (const key of frame.gone) delete changed[key];
      return { ...frame, rows: changed, gone: [...before.gone, ...frame.gone], all: before.all };
    },
    paint(frame) {
      skew = Date.now() / 1000 - frame.now;
      if (frame.all) for (const key of [...rows.keys()]) if (!(key in frame.rows)) remove(key);
      for (const key of frame.gone) remove(key);
      for (const [key, values] of Object.entries(frame.rows)) {
        let row = rows.get(key);
        if (!row) { row = build(key); rows.set(key, row); body.append(row.element); }
        fill(row, values);
        age(row);
      }
      frame.rows = {};
      frame.gone = [];
      frame.all = false;
      setText(title, `${rows.size} open order${rows.size === 1 ? "" : "s"}`);
      showState(state, frame.state);
      hear(frame.said);
      none.hidden = rows.size > 0;
      table.hidden = rows.size === 0;
    },
  });
  const clock = setInterval(() => rows.forEach(age), 1000);
  return () => { clearInterval(clock); view.close(); };
}

export default { render };
