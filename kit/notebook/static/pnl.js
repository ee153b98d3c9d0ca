const PNL_FIGURES = ["profit", "inventory", "fees", "fills", "price"];

function render({ model, el }) {
  const title = make("b"), state = make("span", { class: "badge", role: "status" });
  const readout = make("span", { class: "soft readout" });
  const choice = make("select", { class: "choice", "aria-label": "market shown" });
  const span = chartSpan("pnl", () => view.soon());
  const cells = Object.fromEntries(PNL_FIGURES.map((name) => {
    const value = make("b"), unit = make("span", { class: "soft unit" });
    return [name, { value, unit, element: make("div", { class: `figure ${name}` }, make("span", { class: "soft" }, name), make("span", {}, value, unit)) }];
  }));
  const figures = make("div", { class: "figures" }, ...PNL_FIGURES.map((name) => cells[name].element));
  const canvas = make("canvas", { role: "img", tabindex: "0" });
  const none = make("div", { class: "soft none" }, "no market to trade on yet: a connector in mode paper or live has one");
  const root = make("div", { class: "kit kit-pnl", "data-lm-suppress-shortcuts": "true" },
    make("div", { class: "head" }, make("b", { class: "what" }, "PnL"), title, choice, state, readout, span.select), none, make("div", { class: "both" }, figures, canvas));
  el.append(root);
  const label = slowLabel(canvas);
  let last = null, chosen = "";

  const view = connect(model, root, {
    merge(before, frame, buffers) {
      const tracks = frame.full || !before ? new Map() : before.tracks;
      frame.series.forEach((head, index) => {
        if (!tracks.has(head.key)) tracks.set(head.key, chartColumns(4));
        chartAppend(tracks.get(head.key), head, buffers[index]);
      });
      return { ...frame, tracks };
    },
    paint(frame) { last = frame; head(frame); show(frame); },
    retheme() { chart.retheme(); },
  });

  const current = (markets) => markets.some((each) => each.current) ? markets.filter((each) => each.current) : markets;
  const market = (frame) => frame.markets.find((each) => each.key === chosen) ?? busiest(current(frame.markets));
  const busiest = (markets) => markets.reduce((best, each) =>
    Number(each.fills.replaceAll(",", "")) > Number(best?.fills.replaceAll(",", "") ?? -1) ? each : best, null);

  const chart = timeChart(canvas, root, {
    soon: () => view.soon(),
    describe(time) {
      const shown = last && market(last), columns = shown && last.tracks.get(shown.key);
      if (time === null || !columns?.[0].length) { setText(readout, ""); return; }
      const [times, , inventory, pnl] = columns, at = nearest(times, time), [, amounts, money] = shown.decimals;
      setText(readout, `${clockText(times[at])} ${signedText(pnl[at], money)} ${shown.quote} · ` +
        `${signedText(inventory[at], amounts)} ${shown.base}`);
    },
  });

  function head(frame) {
    const shown = market(frame);
    showState(state, frame.state);
    none.hidden = Boolean(shown);
    figures.parentElement.hidden = !shown;
    choice.hidden = frame.markets.length < 2;
    const key = JSON.stringify(frame.markets.map((each) => [each.key, each.label]));
    if (choice.dataset.key !== key) {
      choice.dataset.key = key;
      choice.replaceChildren(...frame.markets.map((each) => make("option", { value: each.key }, each.label)));
    }
    if (!shown) return;
    choice.value = shown.key;
    setText(title, frame.markets.length < 2 ? shown.label.split(" ")[0] : "");
    title.hidden = !title.textContent;
    for (const [name, value, unit] of [["profit", shown.pnl, shown.quote], ["inventory", shown.inventory, shown.base],
      ["fees", shown.fees, shown.quote], ["fills", shown.fills, ""], ["price", shown.price, shown.quote]]) {
      setText(cells[name].value, value);
      setText(cells[name].unit, unit ? ` ${unit}` : "");
    }
    cells.profit.value.className = { good: "gain", bad: "loss" }[shown.tone] ?? "";
    label(() => `Profit of ${shown.label} over time: ${shown.pnl} ${shown.quote} now, ` +
      `inventory ${shown.inventory} ${shown.base}, ${shown.fills} fills`);
  }

  function show(frame) {
    const shown = market(frame);
    if (!shown) return;
    const [times, , inventory, pnl] = frame.tracks.get(shown.key) ?? chartColumns(4);
    const [, amounts, money] = shown.decimals;
    chart.draw({
      ...chartRange(times, span.seconds),
      panes: [
        { share: 1.5, zero: true, label: `profit [${shown.quote}]`, least: 10 ** -money * 2,
          write: (value) => signedText(value, money), lines: [{ times, values: pnl, signed: true }] },
        { share: 1, zero: true, label: `inventory [${shown.base}]`, least: 10 ** -amounts * 4,
          write: (value) => signedText(value, Math.min(amounts, 5)), lines: [{ times, values: inventory, step: true, color: "accent" }] },
      ],
    });
  }

  choice.addEventListener("change", () => { chosen = choice.value; if (last) { head(last); view.soon(); } });
  return () => { chart.close(); view.close(); };
}

export default { render };
