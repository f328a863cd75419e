import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { nodeModuleKeys } from '../../src/crypto/node/module-keys.ts';
import { encodeName } from '../../src/der/name.ts';
import { encodePem } from '../../src/der/pem.ts';
import { buildEap, EapCode, EapType, parseEap } from '../../src/module/eap/packet.ts';
import { Instruction, RequestTag } from '../../src/module/protocol.ts';
import { writeTlvs } from '../../src/module/tlv.ts';
import { describeWith, need } from '../setup/need.ts';
import { freePort } from '../setup/ports.ts';
import { CA, Card, cardWith, certificateFor, utf8 } from '../unit/module/kit.ts';
import { Program } from './support/program.ts';
import {
  buildRequest,
  buildResponse,
  eapOf,
  mskOf,
  parseRadius,
  RadiusCode,
  stateOf,
} from './support/radius.ts';

/* The module as EAP-TLS method, against hostapd's. RADIUS carries the packets, and the keys that both sides derived. */

const SECRET = 'testing123';
const hostapd = need('hostapd');
const eapolTest = need('eapol_test');
const openssl = need('openssl');

const folder = mkdtempSync(join(tmpdir(), 'trellis-eap-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

const ca = file('ca.pem', encodePem('CERTIFICATE', CA));
function credential(kind: 'client' | 'server'): { cert: string; key: string } {
  const pkcs8 = nodeModuleKeys.generate('P-256');
  const certificate = certificateFor(nodeModuleKeys.load(pkcs8).spki, kind);
  return {
    cert: file(`${kind}.pem`, encodePem('CERTIFICATE', certificate)),
    key: file(`${kind}.key`, encodePem('PRIVATE KEY', pkcs8)),
  };
}

const VERSIONS: [string, number, string][] = [
  ['TLS 1.3', 0x0304, 'tls_disable_tlsv1_3=0'],
  ['TLS 1.2', 0x0303, 'tls_disable_tlsv1_3=1'],
];

describeWith(hostapd, "module as EAP peer, hostapd's EAP server", () => {
  it.each(VERSIONS)(
    'derives the same MSK with %s',
    async (_name, version) => {
      const port = await freePort();
      const { cert, key } = credential('server');
      const users = file('users', '* TLS\n');
      const clients = file('clients', `127.0.0.1/32 ${SECRET}\n`);
      const config = file(
        'hostapd.conf',
        [
          'driver=none',
          'interface=none0',
          'eap_server=1',
          `eap_user_file=${users}`,
          `ca_cert=${ca}`,
          `server_cert=${cert}`,
          `private_key=${key}`,
          'fragment_size=300',
          version === 0x0304 ? 'tls_flags=[ENABLE-TLSv1.3]' : 'tls_flags=[DISABLE-TLSv1.3]',
          `radius_server_clients=${clients}`,
          `radius_server_auth_port=${port}`,
          '',
        ].join('\n'),
      );
      const server = new Program(hostapd.path, ['-d', config]);
      await server.until(/AP-ENABLED|Setup of interface done/);
      const card = cardWith({ kind: 'client' }).verifyUser();
      const handle = card.open({
        mode: 'method',
        serverName: undefined,
        versions: [version],
        fragmentSize: 200,
      });
      const socket = createSocket('udp4');
      let eap: Uint8Array = buildEap({
        code: EapCode.response,
        identifier: 0,
        type: EapType.identity,
        data: utf8('main'),
      });
      let state: Buffer | undefined;
      let msk: Buffer | undefined;
      for (let round = 1; msk === undefined && round < 60; round++) {
        const { bytes, authenticator } = buildRequest(round, SECRET, eap, state, 'main');
        const answered = once(socket, 'message') as Promise<[Buffer]>;
        socket.send(bytes, port, '127.0.0.1');
        const answer = parseRadius((await answered)[0]);
        expect(answer.code, server.output.slice(-2000)).not.toBe(RadiusCode.accessReject);
        state = stateOf(answer);
        eap = new Uint8Array(card.ok(Instruction.processEap, handle << 1, 0, eapOf(answer)));
        if (answer.code === RadiusCode.accessAccept) msk = mskOf(answer, SECRET, authenticator);
      }
      socket.close();
      expect(
        Buffer.from(card.ok(Instruction.getMasterSessionKey, handle << 1, 0)).equals(msk as Buffer),
      ).toBe(true);
      server.child.kill();
      await server.exited;
    },
    30_000,
  );
});

describeWith(eapolTest, 'module as EAP server, eapol_test', () => {
  it.each(VERSIONS)(
    'derives the same MSK with %s',
    async (_name, version, phase1) => {
      const { cert, key } = credential('client');
      const card: Card = cardWith({ kind: 'server', clientCertificate: 2 }).verifyUser();
      const handle = card.open({ role: 'server', mode: 'method', versions: [version], fragmentSize: 300 });
      const socket = createSocket('udp4');
      socket.bind(0, '127.0.0.1');
      await once(socket, 'listening');
      socket.on('message', (bytes, from) => {
        const request = parseRadius(bytes);
        const eap = new Uint8Array(card.ok(Instruction.processEap, handle << 1, 0, eapOf(request)));
        const { code } = parseEap(eap);
        const isDone = code === EapCode.success;
        const msk = isDone ? card.ok(Instruction.getMasterSessionKey, handle << 1, 0) : undefined;
        const kind = isDone
          ? RadiusCode.accessAccept
          : code === EapCode.failure
            ? RadiusCode.accessReject
            : RadiusCode.accessChallenge;
        socket.send(buildResponse(kind, request, SECRET, eap, msk), from.port, from.address);
      });
      const config = file(
        'eapol.conf',
        [
          'network={',
          '  key_mgmt=WPA-EAP',
          '  eap=TLS',
          '  identity="client"',
          `  ca_cert="${ca}"`,
          `  client_cert="${cert}"`,
          `  private_key="${key}"`,
          `  phase1="${phase1}"`,
          '  fragment_size=300',
          '  eapol_flags=0',
          '}',
          '',
        ].join('\n'),
      );
      const { port } = socket.address();
      const program = new Program(eapolTest.path, [
        '-c',
        config,
        '-a',
        '127.0.0.1',
        '-p',
        `${port}`,
        '-s',
        SECRET,
        '-t',
        '15',
      ]);
      expect(await program.end(20_000), program.output.slice(-3000)).toBe(0);
      expect(program.output).toContain('SUCCESS');
      // It compares what it derived with what RADIUS brought.
      expect(program.output).toMatch(/MPPE keys OK: 1\s+mismatch: 0/);
      socket.close();
    },
    30_000,
  );
});

describeWith(openssl, 'openssl', () => {
  it.each(['P-256', 'P-384', 'Ed25519', 'RSA-2048'].map((name, i): [string, number] => [name, i + 1]))(
    'verifies the request for a key of kind %s',
    async (_name, algorithm) => {
      const card = new Card().verifyOperator();
      card.ok(Instruction.generateKey, 0, algorithm, utf8('new'));
      const request = card.ok(
        Instruction.makeRequest,
        0,
        0,
        writeTlvs([
          { tag: RequestTag.alias, value: utf8('new') },
          { tag: RequestTag.subject, value: encodeName([{ CN: 'new.test' }]) },
          { tag: RequestTag.host, value: utf8('new.test') },
        ]),
      );
      const path = file('new.csr', encodePem('CERTIFICATE REQUEST', request));
      const program = new Program(openssl.path, ['req', '-in', path, '-verify', '-noout', '-text']);
      expect(await program.end(), program.output).toBe(0);
      expect(program.output).toMatch(/verify OK/i);
      expect(program.output).toContain('DNS:new.test');
    },
  );
});
