// From a file or a microphone to Python: raw samples, in pieces, each answered before the next.

const LONGEST_S = 60;

/** Why the microphone cannot be used here, or "" if it can be asked for. */
function microphoneProblem() {
  if (!globalThis.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
    return "The browser lets only pages from https or localhost use the microphone: open this page there, or choose a file.";
  }
  if (!globalThis.AudioWorkletNode) return "This browser cannot record raw sound: choose a file instead.";
  return "";
}

/** The browser's refusal in words that say what to do. */
function microphoneRefusal(error) {
  const words = {
    NotAllowedError: "The microphone was not allowed: allow it beside the address of this page or in the system's settings, or choose a file.",
    SecurityError: "The microphone is forbidden on this page: open it from https or localhost, or choose a file.",
    NotFoundError: "No microphone was found: plug one in, or choose a file.",
    OverconstrainedError: "No microphone was found that can be used: plug in another, or choose a file.",
    NotReadableError: "The microphone is busy in another program: close that, or choose a file.",
  };
  return words[error.name] || `The microphone cannot be used (${error.message || error.name}): choose a file instead.`;
}

const TAP = `registerProcessor("v2m-tap", class extends AudioWorkletProcessor {
  process([[samples]]) { if (samples) this.port.postMessage(samples.slice()); return true; }
});`;

/**
 * Begin to record. Resolves to { level(), seconds(), stop() }; stop gives { samples, rate }.
 * `ended` is called when the microphone goes away or the longest recording is reached.
 */
async function record(ended) {
  const constraints = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: constraints });
  const context = new AudioContext();
  const blocks = [];
  let count = 0, peak = 0;
  const release = () => { stream.getTracks().forEach((track) => track.stop()); context.close(); };
  try {
    const address = URL.createObjectURL(new Blob([TAP], { type: "text/javascript" }));
    await context.audioWorklet.addModule(address);
    URL.revokeObjectURL(address);
    await context.resume();
    const tap = new AudioWorkletNode(context, "v2m-tap", { numberOfOutputs: 0 });
    tap.port.onmessage = ({ data }) => {
      if (count >= LONGEST_S * context.sampleRate) return;
      blocks.push(data);
      count += data.length;
      for (const value of data) peak = Math.max(peak, Math.abs(value));
      if (count >= LONGEST_S * context.sampleRate) ended();
    };
    context.createMediaStreamSource(stream).connect(tap);
    stream.getAudioTracks()[0].addEventListener("ended", ended);
  } catch (error) {
    release();
    throw error;
  }
  return {
    level() { const now = peak; peak = 0; return now; },
    seconds: () => count / context.sampleRate,
    stop() {
      const rate = context.sampleRate;
      release();
      const samples = new Float32Array(count);
      let at = 0;
      for (const block of blocks) { samples.set(block, at); at += block.length; }
      return { samples, rate };
    },
  };
}

/** Samples as a 16-bit WAV file. */
function wav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, letters) => { for (let i = 0; i < letters.length; i++) view.setUint8(at + i, letters.charCodeAt(i)); };
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * samples.length, true);
  for (let i = 0; i < samples.length; i++) {
    view.setInt16(44 + 2 * i, Math.max(-32768, Math.min(32767, Math.round(32768 * samples[i]))), true);
  }
  return view.buffer;
}

/** Questions to Python, each with the promise of its answer. */
function questions(model) {
  const open = new Map();
  model.on("msg:custom", (message) => {
    if (message.kind !== "reply" || !open.has(message.key)) return;
    const { resolve, timer } = open.get(message.key);
    clearTimeout(timer);
    open.delete(message.key);
    resolve(message);
  });
  return (content, buffers = [], patience_ms = 30_000) => new Promise((resolve, reject) => {
    const silent = () => { open.delete(content.key); reject(new Error("Python does not answer: wait until it is free, or run the cell again, or reload the page.")); };
    open.set(content.key, { resolve, timer: setTimeout(silent, patience_ms) });
    model.send(content, undefined, buffers);
  });
}

let uploads = 0;

/** Send one recording. `progress` hears shares from 0 to 1. Resolves to whether it was taken. */
async function upload(ask, name, bytes, chunk, progress) {
  const key = `${Date.now().toString(36)}-${(uploads += 1)}`;
  const offered = await ask({ kind: "offer", key, name, size: bytes.byteLength });
  if (offered.refused) return false;
  for (let at = 0; at < bytes.byteLength; at += chunk) {
    const piece = bytes.slice(at, at + chunk);
    const last = at + chunk >= bytes.byteLength;
    const reply = await ask({ kind: "piece", key }, [piece], last ? 180_000 : 30_000);
    if (reply.refused) return false;
    progress(Math.min(1, (at + chunk) / bytes.byteLength));
  }
  return true;
}
