const BALANCE_COLUMNS = ["asset", "account", "total", "available", "used", "worth"];

function render({ model, el }) {
  const title = make("b", {}, "Balances"), state = make("span", { class: "badge", role: "status" });
  const unit = make("span", { class: "soft" });
  const names = { used: "in orders" };
  const heads = BALANCE_COLUMNS.map((name) => make("th", { scope: "col", class: name }, names[name] ?? name, ...(name === "worth" ? [unit] : [])));
  const body = make("tbody");
  const table = make("table", { "aria-label": "balances" }, make("thead", {}, make("tr", {}, ...heads)), body);
  const none = make("div", { class: "soft none" }, "no account yet: a connector in mode paper or live has one");
  const more = make("div", { class: "soft none" });
  const root = make("div", { class: "kit kit-balances", "data-lm-suppress-shortcuts": "true" },
    make("div", { class: "head" }, title, state),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "balances" }, table), none, more);
  el.append(root);
  const rows = new Map();

  function build() {
    const cells = Object.fromEntries(BALANCE_COLUMNS.map((name) => [name, make("td", { class: name })]));
    const asset = make("b"), bar = make("span", { class: "share", "aria-hidden": "true" });
    const exchange = make("span"), mode = make("span", { class: "mode" });
    cells.asset.append(asset);
    cells.account.append(exchange, " ", mode);
    cells.available.append(make("span"), bar);
    return { element: make("tr", {}, ...Object.values(cells)), cells, asset, exchange, mode, bar };
  }

  function fill(row, [exchange, mode, asset, total, available, used, worth, exact, free]) {
    setText(row.asset, asset);
    setText(row.exchange, exchange);
    setText(row.mode, mode);
    row.mode.className = `mode ${mode}`;
    setText(row.cells.total, total);
    setText(row.cells.available.firstElementChild, available);
    setText(row.cells.used, used);
    setText(row.cells.worth, worth);
    row.element.title = exact;
    row.bar.style.setProperty("--share", `${free / 10}%`);
    row.bar.hidden = used === "—";
  }

  const view = connect(model, root, {
    paint(frame) {
      const seen = new Set();
      let before = null;
      for (const values of frame.rows) {
        const key = values.slice(0, 3).join("/");
        seen.add(key);
        let row = rows.get(key);
        if (!row) { row = build(); rows.set(key, row); }
        fill(row, values);
        const place = before ? before.nextElementSibling : body.firstElementChild;
        if (place !== row.element) body.insertBefore(row.element, place);
        before = row.element;
      }
      for (const [key, row] of rows) if (!seen.has(key)) { row.element.remove(); rows.delete(key); }
      setText(unit, frame.quote ? ` [${frame.quote}]` : "");
      showState(state, frame.state);
      none.hidden = rows.size > 0;
      table.hidden = rows.size === 0;
      setText(more, frame.more ? `and ${frame.more} more assets` : "");
      more.hidden = !frame.more;
    },
  });
  return view.close;
}

export default { render };
