// Browsers start no Worker from a page that was opened from disk. There, the worker's script runs in a hidden frame:
// the search then works without a server. On a server this does nothing.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.appendChild(this.frame);
      window.addEventListener("message", (event) => {
        if (event.source === this.frame.contentWindow) {
          this.dispatchEvent(new MessageEvent("message", { data: event.data }));
        }
      });
      this.started = new Promise((resolve) => { this.frame.onload = resolve; });
      const inside = this.frame.contentDocument;
      inside.open();
      inside.write(
        "<script>var postMessage = (data) => parent.dispatchEvent(new MessageEvent('message', { data, source: window }));" +
        "var importScripts = (...all) => all.reduce((before, src) => before.then(() => new Promise((resolve) => {" +
        "const script = document.createElement('script'); script.src = src; script.onload = resolve;" +
        "document.body.appendChild(script); })), Promise.resolve());</" + "script>" +
        `<body><script src="${new URL(address, location)}"></` + "script></body>"
      );
      inside.close();
    }

    postMessage(data) {
      this.started.then(() => {
        this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
      });
    }

    terminate() {
      this.frame.remove();
    }
  };
}
