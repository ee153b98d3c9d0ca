// The form of parameters (CONTROLS, put before this by Python), and below it why the strategy quotes what it quotes.

function render({ model, el }) {
  const form = make("div");
  const state = make("div", { class: "state", role: "status" });
  const verdict = make("p", { class: "verdict" });
  const steps = make("div", { class: "steps", tabindex: "0", role: "region", "aria-label": "steps of the last proposal" });
  const details = make("details", {}, make("summary", {}, "how this came about"), steps);
  const root = make("div", { class: "kit kit-strategy", "data-lm-suppress-shortcuts": "true" }, form, state, verdict, details);
  el.append(root);
  const close = CONTROLS.render({ model, el: form });
  let shown = "";

  const view = connect(model, root, {
    merge: (before, frame) => frame.full ? frame : { ...before, ...frame },
    paint(frame) {
      setText(state, frame.state ?? "");
      state.hidden = !frame.state;
      setText(verdict, frame.verdict ?? "");
      verdict.hidden = !frame.verdict;
      details.hidden = !frame.steps;
      if (details.open && frame.steps && frame.steps !== shown) {
        shown = frame.steps;
        steps.innerHTML = frame.steps; // made by kit.strategy.tables, which escapes what it is given
      }
    },
  });
  details.addEventListener("toggle", () => { shown = ""; view.soon(); });
  return () => { close?.(); view.close(); };
}

export default { render };
