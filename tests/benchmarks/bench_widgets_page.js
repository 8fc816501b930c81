// Drives one viewer in a page of bench_widgets.py: `drive(n)` makes n updates and draws each.

const nextFrame = () => new Promise((resolve) => requestAnimationFrame(resolve));

/** What anywidget hands to a widget, without a kernel; counts the bytes that would travel. */
function standIn(state, payload) {
  const listeners = {};
  const stale = {};
  return {
    bytes: 0,
    sent: 0,
    get: (name) => state[name],
    set(name, value) {
      const values = typeof name === "string" ? { [name]: value } : name;
      for (const [key, one] of Object.entries(values)) {
        state[key] = stale[key] = one;
        for (const act of listeners[`change:${key}`] || []) act();
      }
    },
    on(name, act) { (listeners[name] ||= []).push(act); },
    off() {},
    save_changes() {
      this.bytes += JSON.stringify(stale).length;
      this.sent += 1;
      for (const key of Object.keys(stale)) delete stale[key];
    },
    send() { setTimeout(() => (listeners["msg:custom"] || []).forEach((act) => act({ kind: "mesh", mesh: payload }, [])), 0); },
  };
}

/** Our widget: a slider is moved as a hand moves it. */
globalThis.startOurs = async (factory, payload, state) => {
  const begun = performance.now();
  const model = standIn(state, payload), widget = factory();
  widget.initialize({ model });
  widget.render({ model, el: document.getElementById("place") });
  while (!document.querySelector("input[type=range]")) await nextFrame();
  await nextFrame();
  const sliders = [...document.querySelectorAll("input[type=range]")];
  globalThis.drive = async (count) => {
    for (let i = 0; i < count; i++) {
      const slider = sliders[Math.floor(i / 10) % sliders.length];
      slider.value = 3 * Math.sin(i);
      slider.dispatchEvent(new Event("input"));
      await nextFrame();
    }
    return model.sent ? Math.round(model.bytes / model.sent) : 0;
  };
  await nextFrame();
  return performance.now() - begun;
};

/** A peer: the vertices of every update come from Python, `act` takes them. */
globalThis.startPeer = (faces, act) => {
  globalThis.drive = async (count) => {
    for (let i = 0; i < count; i++) {
      await act(faces[i % faces.length]);
      await nextFrame();
    }
  };
};
