// A widget on a plain page, for tests and benchmarks.

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
    tell(message, buffers = []) { (listeners["msg:custom"] || []).forEach((act) => act(message, buffers)); },
    send() { setTimeout(() => this.tell({ kind: "mesh", mesh: payload }), 0); },
  };
}

/** Show a widget; the promise holds its stand-in for the kernel. */
globalThis.standIn = standIn;
globalThis.showWidget = (payload, state, place) => {
  const model = standIn(state, payload), widget = globalThis.factory();
  widget.initialize({ model });
  widget.render({ model, el: place });
  return model;
};
