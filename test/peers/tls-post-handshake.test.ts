import { beforeAll, expect, it } from 'vitest';
import { describeWith } from '../setup/need.ts';
import { OpensslClient, OpensslServer, openssl } from './support/openssl.ts';
import { connectOurs, Incoming, serve } from './support/ours.ts';
import { makePki, type Pki } from './support/pki.ts';

/* Client authentication after the handshake (RFC 8446 §4.6.2) with OpenSSL, both ways. */

let pki: Pki;

beforeAll(() => {
  pki = makePki();
});

describeWith(openssl, 'a certificate after the handshake, OpenSSL', () => {
  it('is shown by our client when s_server asks', async () => {
    const args = ['-verify', '1', '-CAfile', pki.ca.certFile, '-tls1_3', '-msg', '-naccept', '1'];
    // Nobody is asked in the handshake; its command c asks afterwards.
    const server = new OpensslServer(pki.servers.p256, args.slice(2));
    const { cert, key } = pki.clients.p384;
    const socket = await connectOurs({
      port: await server.port,
      ca: pki.ca.cert,
      cert,
      key,
      postHandshakeAuth: true,
    });
    const incoming = new Incoming(socket);
    server.say('hello');
    await incoming.until('hello\n');
    server.say('c');
    await server.until(
      /<<< TLS 1\.3, Handshake \[length [0-9a-f]+\], Finished[\s\S]*<<< TLS 1\.3, Handshake \[length [0-9a-f]+\], CertificateVerify[\s\S]*Finished/,
    );
    server.say('after it');
    await incoming.until('after it\n');
    socket.write('still here\n');
    await server.until('still here');
    socket.end();
  });

  it('is shown by s_client when our server asks', async () => {
    const { cert, key } = pki.servers.p256;
    const ours = await serve({ cert, key, ca: pki.ca.cert });
    const { certFile, keyFile } = pki.clients.rsa2048;
    const client = new OpensslClient(ours.port, [
      '-tls1_3',
      '-enable_pha',
      '-cert',
      certFile,
      '-key',
      keyFile,
    ]);
    await client.connected();
    const socket = await ours.session();
    expect(socket.authorized).toBe(false);
    client.say('before');
    await client.until(/^before$/m);
    expect(await socket.requestCertificate()).toBe(true);
    expect(socket.authorized).toBe(true);
    expect(socket.getPeerCertificate().subject.CN).toBe('client rsa2048');
    client.say('after');
    await client.until(/^after$/m);
    expect(await client.quit()).toBe(0);
  });

  it('is missing, strange, or not offered', async () => {
    const { cert, key } = pki.servers.p256;
    const ours = await serve({ cert, key, ca: pki.ca.cert });
    const bare = new OpensslClient(ours.port, ['-tls1_3', '-enable_pha']);
    await bare.connected();
    expect(await (await ours.session()).requestCertificate()).toBe(false);
    await bare.quit();
    const { certFile, keyFile } = pki.strangeClient;
    const strange = new OpensslClient(ours.port, [
      '-tls1_3',
      '-enable_pha',
      '-cert',
      certFile,
      '-key',
      keyFile,
    ]);
    await strange.connected();
    await expect((await ours.session()).requestCertificate()).rejects.toMatchObject({
      code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    });
    await strange.until(/alert unknown ca/);
    const without = new OpensslClient(ours.port, ['-tls1_3']);
    await without.connected();
    await expect((await ours.session()).requestCertificate()).rejects.toMatchObject({
      code: 'ERR_TLS_OPTION',
    });
    await without.quit();
  });
});
