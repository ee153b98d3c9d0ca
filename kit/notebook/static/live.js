// What every panel's view does: says that it is there and whether it is seen, takes the latest frame at most once a
// screen refresh, asks for a full one when a frame is missing, and sends commands that are answered.

const SIGN_OF_LIFE = 10000; // ms
const ANSWER_LIMIT = 8000; // ms
const FIRST_FRAME = 3000; // ms

// What was to be seen when the panel was shown stands in where it is looked at and no frame comes: for good where nobody
// could send one, as on an exported page, below the panel where the kernel is only busy.
function standIn(model, root) {
  let late = 0, place = null;
  function begin() {
    late = 0;
    const snapshot = model.get?.("snapshot");
    if (!snapshot) return;
    const alone = !model.widget_manager?.kernel;
    place = make("div", { class: "kit-snapshot" });
    place.innerHTML = snapshot;
    place.append(make("small", {}, `as it was when it was shown; ${alone ? "live only where its kernel runs" : "the kernel is busy or gone"}`));
    root.after(place);
    root.classList.toggle("stood-in", alone);
  }
  return {
    expect(seen) { // nobody sends frames to a view that is not seen
      if (!seen) { clearTimeout(late); late = 0; } else if (!late && !place) late = setTimeout(begin, FIRST_FRAME);
    },
    end() { clearTimeout(late); place?.remove(); root.classList.remove("stood-in"); },
  };
}

function connect(model, el, { merge = (_state, frame) => frame, paint, retheme = () => {}, news = () => {}, patience = ANSWER_LIMIT }) {
  const id = crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2);
  const waiting = new Map();
  const stand = standIn(model, el);
  let onScreen = false, seq = 0, state = null, due = 0, number = 0, asked = false;

  const seen = () => onScreen && document.visibilityState === "visible";
  // Whether JupyterLab saves the state of widgets: its manager knows, and nothing public tells. Elsewhere undefined.
  const saving = () => model.widget_manager?._settings?.saveState;
  const tell = (paint = false) => {
    asked = paint;
    if (state === null) stand.expect(seen());
    model.send({ kind: "view", id, visible: seen(), paint, saving: saving() });
  };

  function draw() {
    due = 0;
    if (state) paint(state);
  }
  function soon() {
    if (!due) due = requestAnimationFrame(draw);
  }
  function take(message, buffers) {
    if (message.kind === "answer" && message.id === id) {
      waiting.get(message.number)?.(message);
      waiting.delete(message.number);
    }
    if (message.kind === "news") news(message); // beside the frames: a cell may block what makes those
    if (message.kind !== "frame") return;
    if (!message.full && (state === null || message.seq !== seq + 1)) {
      if (!asked && seen()) tell(true);
      return;
    }
    seq = message.seq;
    asked = false;
    if (state === null) stand.end();
    state = merge(message.full ? null : state, message, buffers);
    soon();
  }
  function command(content) {
    number += 1;
    const mine = number;
    model.send({ kind: "command", id, number: mine, ...content });
    return new Promise((resolve) => {
      const late = setTimeout(() => {
        waiting.delete(mine);
        resolve({ ok: false, late: true, text: "no answer yet: the kernel is busy or gone" });
      }, patience);
      waiting.set(mine, (answer) => { clearTimeout(late); resolve(answer); });
    });
  }

  const watcher = new IntersectionObserver((entries) => {
    const now = entries[entries.length - 1].isIntersecting;
    if (now !== onScreen) { onScreen = now; tell(now); }
  });
  const themes = new MutationObserver(() => { retheme(); soon(); });
  const onVisibility = () => tell(seen());
  const beat = setInterval(() => tell(), SIGN_OF_LIFE);
  model.on("msg:custom", take);
  document.addEventListener("visibilitychange", onVisibility);
  watcher.observe(el);
  themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
  tell(false);
  const soonAgain = setTimeout(() => tell(), 1500); // by now the page has its subshell: shows whether it is used

  function close() {
    clearInterval(beat);
    clearTimeout(soonAgain);
    stand.end();
    if (due) cancelAnimationFrame(due);
    watcher.disconnect();
    themes.disconnect();
    document.removeEventListener("visibilitychange", onVisibility);
    model.off("msg:custom", take);
    try { model.send({ kind: "gone", id }); } catch { /* the line is closed already */ }
  }
  return { command, close, soon };
}

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

function setText(element, text) {
  if (element.textContent === text) return false;
  element.textContent = text;
  return true;
}

function showState(element, state) {
  setText(element, state);
  element.hidden = !state;
}

// A time in seconds since the epoch by the reader's clock, as fine as ``step`` seconds ask for.
function clockText(time, step = 1) {
  const at = new Date(time * 1000), two = (value) => String(value).padStart(2, "0");
  if (step >= 86400) return `${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${two(at.getHours())}:${two(at.getMinutes())}${step < 60 ? `:${two(at.getSeconds())}` : ""}`;
}
