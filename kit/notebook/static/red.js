const UNHEARD = 1500; // ms

function render({ model, el }) {
  const open = make("span", { class: "open" });
  const button = make("button", { type: "button", class: "red" }, make("span", { class: "what" }, "Cancel all"), open);
  const mark = make("span", { class: "mark", "aria-hidden": "true" });
  const text = make("span"), more = make("span", { class: "soft" });
  const said = make("div", { class: "news", role: "status", "aria-live": "assertive", hidden: true }, mark, text, more);
  const root = make("div", { class: "kit kit-red", "data-lm-suppress-shortcuts": "true" }, button, said);
  el.append(root);
  let last = null, press = null, sent = 0, unheard = 0;

  const MARKS = { sent: "…", acting: "…", done: "✓", failed: "✕" };
  function say(stage, words, rest = "") {
    said.hidden = false;
    said.dataset.stage = stage;
    setText(mark, MARKS[stage]);
    setText(text, words);
    setText(more, rest);
  }

  // Several threads tell how a press goes on, so older news may come later; the ways of a press only begin and end.
  const told = ({ ways }) => ways.length + ways.filter(([, stage]) => stage !== "acting").length;
  function tell(now) {
    if (!now || (press && (now.number < press.number || (now.number === press.number && told(now) < told(press))))) return;
    press = now;
    clearTimeout(unheard);
    const at = new Date(now.time * 1000).toLocaleTimeString([], { hour12: false });
    const others = now.ways.filter(([, stage, words]) => words !== now.text || stage !== now.stage).map(([, , words]) => words);
    say(now.stage, `${at} ${now.text}`, others.join("; "));
  }

  async function push() {
    sent += 1;
    const mine = sent;
    say("sent", "sent");
    const guard = last?.guarded
      ? `by itself it acts ${last.stall_limit} s after the loop stood still`
      : "nothing is guarded here, so it waits for the kernel";
    clearTimeout(unheard);
    unheard = setTimeout(() => say("sent", "sent, not heard yet: the kernel is busy", `${last?.path ?? ""}; ${guard}`), UNHEARD);
    const answer = await view.command({ do: "red" });
    if (answer.ok) tell(answer.press);
    else if (!answer.late && mine === sent) { clearTimeout(unheard); say("failed", answer.text); }
  }
  button.addEventListener("click", push);

  const view = connect(model, button, {
    news(message) { tell(message.press); },
    paint(frame) {
      last = frame;
      button.disabled = Boolean(frame.elsewhere);
      setText(open, frame.elsewhere ? "where it runs" : frame.accounts.length ? `${frame.open} open` : "nothing to cancel");
      button.title = frame.elsewhere ? frame.elsewhere : `Cancels every open order of ${frame.core} now, pauses the strategy, switches off.\n` +
        `While a cell runs: ${frame.path}`;
      button.setAttribute("aria-label", `Red button: cancel all ${frame.open} open orders of ${frame.core} now, pause the strategy and switch off`);
      tell(frame.press);
    },
  });
  return () => { clearTimeout(unheard); view.close(); };
}

export default { render };
