// The engine without sockets, timers or clocks: two connections joined by hand. Bytes can travel over anything.
//
//   node scripts/run-ts.mjs examples/engine.ts [FOLDER]     FOLDER has ca.pem, server.pem, server.key; default pki
import { readFileSync } from 'node:fs';
import { Connection, configureClient, configureServer } from 'trellis';

const folder = process.argv[2] ?? 'pki';
const read = (name: string) => readFileSync(`${folder}/${name}`);

const now = Date.now();
const client = Connection.client(configureClient({ servername: 'localhost', ca: read('ca.pem') }), now);
const server = Connection.server(configureServer({ cert: read('server.pem'), key: read('server.key') }), now);

/** Carries what one side has to send to the other, and tells what the other has to say. */
function carry(from: Connection, to: Connection): boolean {
  const records = from.transmit();
  for (const bytes of records) to.receive(bytes, now);
  for (let event = to.nextEvent(); event !== undefined; event = to.nextEvent()) {
    console.log(
      to.role,
      event.type === 'data' ? `data: ${new TextDecoder().decode(event.data)}` : event.type,
    );
    if (event.type === 'error') throw event.error;
  }
  // Work that only the outside can do. Here the key is in this process; in a card the answer may come later.
  const { wanted } = to;
  if (wanted?.kind === 'signature') {
    const signature = wanted.key.sign(wanted.scheme, wanted.input);
    if (signature instanceof Uint8Array) to.provide(signature, now);
  }
  return records.length > 0;
}

function run(): void {
  while (carry(client, server) || carry(server, client));
}

run();
client.send(new TextEncoder().encode('over anything'));
run();
client.close();
server.close();
run();
