import { muxCompliance } from '../../setup/mux-compliance.ts';
import { sessions } from '../node-mux/fake-socket.ts';

muxCompliance('in memory', async (mode, options) => {
  const { client, server, clientSocket } = sessions({
    client: { ...options, mode },
    server: options,
    accepted: { allowHalfOpen: true },
  });
  return { client, server, drop: () => clientSocket.destroy(new Error('the cable was cut')) };
});
