// One view for all parts of a core. PARTS, put before this by Python, holds each part's own view by name; their messages
// share one line to Python and are told apart by ``part``.

const LEFT = ["depth", "orders", "price", "pnl"], RIGHT = ["controls", "balances", "health"], WIDE = ["log"];
const LABELS = {
  depth: "Depth", orders: "Orders", price: "Price", pnl: "PnL", controls: "Parameters", balances: "Balances",
  health: "Health", log: "Log",
};
const FOLDED = "kit-cockpit-folded";

function lineOf(model, part) {
  const listeners = new Set();
  return {
    widget_manager: model.widget_manager,
    get: (name) => part ? undefined : model.get?.(name), // what stands in for frames does so once, for the whole
    send: (content) => model.send({ ...content, part }),
    on: (_name, listener) => listeners.add(listener),
    off: (_name, listener) => listeners.delete(listener),
    take: (message, buffers) => { for (const listener of [...listeners]) listener(message, buffers); },
  };
}

function folded() {
  try { return new Set(JSON.parse(localStorage.getItem(FOLDED) ?? "[]")); } catch { return new Set(); }
}

function keepFolded(names) {
  try { localStorage.setItem(FOLDED, JSON.stringify([...names])); } catch { /* a page that may keep nothing */ }
}

function render({ model, el }) {
  const lines = {}, closes = [], sections = {};
  const line = (part) => (lines[part] ??= lineOf(model, part));
  const choice = make("select", { class: "choice", "aria-label": "market and pair shown" });
  const top = make("div", { class: "top" });
  const left = make("div", { class: "column" }), right = make("div", { class: "column" }), wide = make("div", { class: "column wide" });
  const columns = make("div", { class: "columns" }, left, right);
  const root = make("div", {
    class: "kit kit-cockpit", "data-lm-suppress-shortcuts": "true", role: "region", "aria-label": "trading cockpit",
  }, make("div", { class: "inside" }, top, columns, wide));
  el.append(root);

  const onMessage = (message, buffers) => lines[message.part]?.take(message, buffers);
  model.on("msg:custom", onMessage);

  function place(part, into) {
    if (!PARTS[part]) return;
    const closed = folded();
    const id = `kit-part-${part}-${Math.random().toString(36).slice(2, 8)}`;
    const body = make("div", { class: "body", id }), empty = make("div", { class: "soft empty", hidden: true });
    const fold = make("button", { type: "button", class: "fold", "aria-controls": id, "aria-expanded": "true" }, LABELS[part]);
    const section = make("section", { class: `part part-${part}`, "aria-label": LABELS[part] }, fold, empty, body);
    const show = (open) => {
      body.hidden = !open;
      section.classList.toggle("folded", !open);
      fold.setAttribute("aria-expanded", String(open));
      fold.title = open ? "fold" : "unfold";
    };
    fold.addEventListener("click", () => {
      const names = folded();
      if (body.hidden) names.delete(part); else names.add(part);
      keepFolded(names);
      show(body.hidden);
    });
    show(!closed.has(part));
    into.append(section);
    // What has nothing to show yet says so; its own view hears nothing of that.
    line(part).on("msg:custom", (message) => {
      if (message.kind !== "frame") return;
      const text = message.empty ?? "";
      setText(empty, text);
      empty.hidden = !text;
      body.classList.toggle("blank", Boolean(text));
    });
    sections[part] = section;
    closes.push(PARTS[part].render({ model: line(part), el: body }));
  }

  for (const part of ["switch", "red"]) {
    const into = make("div", { class: "bare" });
    top.append(into);
    closes.push(PARTS[part].render({ model: line(part), el: into }));
  }
  for (const part of LEFT) place(part, left);
  for (const part of RIGHT) place(part, right);
  for (const part of WIDE) place(part, wide);
  sections.depth.append(choice);

  const view = connect(line(""), root, {
    paint(frame) {
      const key = JSON.stringify(frame.choices);
      if (choice.dataset.key !== key) {
        choice.dataset.key = key;
        choice.replaceChildren(...frame.choices.map(([value, text]) => make("option", { value }, text)));
      }
      choice.hidden = frame.choices.length < 2;
      sections.depth.classList.toggle("chooses", !choice.hidden);
      if (document.activeElement !== choice) choice.value = frame.chosen;
      root.classList.toggle("reading", Boolean(frame.read_only));
      sections.controls.inert = Boolean(frame.read_only); // nothing that is typed here would reach the core
      sections.controls.title = frame.read_only ? `read-only: ${frame.read_only}` : "";
      root.setAttribute("aria-label", `trading cockpit of ${frame.core}`);
    },
  });
  choice.addEventListener("change", () => view.command({ do: "choose", market: choice.value }));

  // The switch and the red button stay in sight while the page scrolls under them, whoever scrolls it.
  let due = 0;
  function float() {
    due = 0;
    const box = root.getBoundingClientRect();
    let from = 0;
    for (let parent = root.parentElement; parent; parent = parent.parentElement) {
      if (parent.scrollHeight > parent.clientHeight + 1 && /auto|scroll/.test(getComputedStyle(parent).overflowY)) {
        from = Math.max(from, parent.getBoundingClientRect().top);
      }
    }
    const by = Math.max(0, Math.min(from - box.top, box.height - top.offsetHeight));
    top.style.transform = by > 0 ? `translateY(${Math.round(by)}px)` : "";
    top.classList.toggle("afloat", by > 0);
  }
  const onScroll = () => { if (!due) due = requestAnimationFrame(float); };
  document.addEventListener("scroll", onScroll, { capture: true, passive: true });
  const sizes = new ResizeObserver(onScroll);
  sizes.observe(root);
  sizes.observe(top);

  return () => {
    document.removeEventListener("scroll", onScroll, { capture: true });
    sizes.disconnect();
    if (due) cancelAnimationFrame(due);
    for (const close of closes) close?.();
    view.close();
    model.off("msg:custom", onMessage);
  };
}

export default { render };
