// Conversations in the browser's own database, a record each.

const table = "conversations";
let opening;

function open() {
  return opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("tti", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(table, { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function act(mode, action) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(table, mode);
    const request = action(transaction.objectStore(table));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = () => reject(transaction.error);
  });
}

export const load = () => act("readonly", (records) => records.getAll());
export const loadOne = (id) => act("readonly", (records) => records.get(id));

// The other tabs are told what changed.
const tabs = new BroadcastChannel("conversations");
export function onChange(changed) { tabs.onmessage = ({ data: id }) => changed(id); }

async function save(conversation) {
  await act("readwrite", (records) => records.put(conversation));
  tabs.postMessage(conversation.id);
}

async function remove(id) {
  await act("readwrite", (records) => records.delete(id));
  tabs.postMessage(id);
}

// Saver writes conversations that change often once in a while.
export class Saver {
  #waiting = new Map();
  #failed;
  static pause = 500; // milliseconds: what a reload in the middle of an answer may have to ask for again

  constructor(failed) { this.#failed = failed; }

  soon(conversation) {
    if (this.#waiting.has(conversation.id)) return;
    this.#waiting.set(conversation.id, setTimeout(() => this.now(conversation), Saver.pause));
  }

  async now(conversation) {
    this.#forget(conversation);
    try {
      await save(conversation);
    } catch (error) {
      this.#failed(error);
    }
  }

  remove(conversation) {
    this.#forget(conversation);
    return remove(conversation.id);
  }

  #forget(conversation) {
    clearTimeout(this.#waiting.get(conversation.id));
    this.#waiting.delete(conversation.id);
  }
}
