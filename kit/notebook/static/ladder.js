function render({ model, el }) {
  const pair = make("b"), state = make("span", { class: "badge", role: "status" });
  const unit = { price: make("span", { class: "soft" }), amount: make("span", { class: "soft" }) };
  const units = ["own", "price", "amount", "total"].map((name) =>
    make("th", { scope: "col", class: name }, name, ...(unit[name] ? [unit[name]] : [])));
  const body = make("tbody");
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...units)), body);
  const root = make("div", { class: "kit kit-ladder" }, make("div", { class: "head" }, pair, state), table);
  el.append(root);
  let rows = null, levels = 0;

  function build(count) {
    levels = count;
    const row = (side) => {
      const cells = ["own", "price", "amount", "total"].map((name) => make("td", { class: name }));
      return { element: make("tr", { class: side, "aria-hidden": "true" }, ...cells), cells, side };
    };
    const asks = Array.from({ length: count }, () => row("ask"));
    const bids = Array.from({ length: count }, () => row("bid"));
    const middle = make("td", { colspan: "4" });
    const gap = make("tr", { class: "gap" }, middle);
    body.replaceChildren(...asks.slice().reverse().map((r) => r.element), gap, ...bids.map((r) => r.element));
    rows = { asks, bids, middle };
  }

  function fill(row, values) {
    const [price, amount, total, share, own] = values ?? ["", "", "", 0, ""];
    const element = row.element;
    element.toggleAttribute("aria-hidden", !values);
    const samePrice = row.cells[1].textContent === price;
    setText(row.cells[0], own);
    setText(row.cells[1], price);
    if (setText(row.cells[2], amount) && samePrice && price) flash(row.cells[2]);
    setText(row.cells[3], total);
    const width = `${share / 10}%`;
    if (row.width !== width) { row.width = width; row.cells[3].style.setProperty("--share", width); }
    element.classList.toggle("mine", own !== "");
    const label = own ? `own ${row.side === "bid" ? "buy" : "sell"} of ${own} at ${price}` : null;
    if (row.label !== label) {
      row.label = label;
      if (label) row.cells[0].setAttribute("aria-label", label); else row.cells[0].removeAttribute("aria-label");
    }
  }

  function flash(cell) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    cell.animate([{ backgroundColor: "var(--kit-line)" }, { backgroundColor: "transparent" }], { duration: 500 });
  }

  const view = connect(model, root, {
    paint(frame) {
      if (levels !== frame.levels) build(frame.levels);
      setText(pair, frame.pair);
      table.setAttribute("aria-label", `Order book of ${frame.pair}: prices in ${frame.quote}, amounts in ${frame.base}`);
      showState(state, frame.state);
      setText(unit.price, ` [${frame.quote}]`);
      setText(unit.amount, ` [${frame.base}]`);
      for (const [side, list] of [["asks", rows.asks], ["bids", rows.bids]]) {
        list.forEach((row, index) => fill(row, frame[side][index]));
      }
      setText(rows.middle, `mid ${frame.mid} · spread ${frame.spread}`);
    },
  });
  return view.close;
}

export default { render };
