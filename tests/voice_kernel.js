// What anywidget hands to a widget, with the real Python behind it (tellPython).

globalThis.voiceModel = (state) => {
  const listeners = {}, stale = {};
  const call = (name, ...args) => (listeners[name] || []).slice().forEach((act) => act(...args));
  const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  const take = ({ messages, traits }) => {
    for (const [name, value] of Object.entries(traits)) {
      if (JSON.stringify(state[name]) === JSON.stringify(value)) continue;
      state[name] = value;
      call(`change:${name}`);
    }
    for (const [content, buffers] of messages) call("msg:custom", content, buffers.map(bytes));
  };
  const text = (buffer) => {
    const view = ArrayBuffer.isView(buffer) ? new Uint8Array(buffer.buffer) : new Uint8Array(buffer);
    let out = "";
    for (let i = 0; i < view.length; i += 8192) out += String.fromCharCode(...view.subarray(i, i + 8192));
    return btoa(out);
  };
  return {
    take, state, sizes: [],
    get: (name) => state[name],
    set(name, value) {
      if (state[name] === value) return;
      state[name] = stale[name] = value;
      call(`change:${name}`);
    },
    on(name, act) { (listeners[name] ||= []).push(act); },
    off(name, act) { listeners[name] = (listeners[name] || []).filter((one) => one !== act); },
    async save_changes() {
      const told = { ...stale };
      for (const name of Object.keys(stale)) delete stale[name];
      take(await tellPython({ traits: told, messages: [] }));
    },
    async send(content, _callbacks, buffers = []) {
      this.sizes.push(buffers.reduce((sum, one) => sum + one.byteLength, 0));
      if (globalThis.deaf) return;
      take(await tellPython({ traits: {}, messages: [[content, buffers.map(text)]] }));
    },
  };
};
