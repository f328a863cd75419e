import type { Trace } from '../rfc8448.ts';

/**
 * RFC 8448 section 7, "Compatibility Mode".
 *
 * The client asks for the compatibility mode of RFC 8446 appendix D.4: a session id that the server echoes, and
 * change_cipher_spec records.
 */
export const compatibilityMode: Trace = {
  section: 7,
  title: 'Compatibility Mode',
  steps: [
    {
      by: 'client',
      step: 'create an ephemeral x25519 key pair',
      values: {
        'private key': 'dea00b45695dc781f19d34a62c1afd31ab4369af1e855a3bbb258d8442cde6d7',
        'public key': '8e7292cf3056dbb0d25fcbe55c107dc9bbf83dd9708f39203ba341249a7d9b63',
      },
    },
    {
      by: 'client',
      step: 'construct a ClientHello handshake message',
      values: {
        ClientHello: `
          010000dc03034e640a3f2c2738f09c9418bd78edccd7559d0531199276d4d92a
          0e9ee9d77d0920a80c165581a8e0d06c0018d54d3a06dd32cfd4051eb026fad3
          fd0ba99269e6ef00061301130313020100008d0000000b000900000673657276
          6572ff01000100000a00140012001d0017001800190100010101020103010400
          3300260024001d00208e7292cf3056dbb0d25fcbe55c107dc9bbf83dd9708f39
          203ba341249a7d9b63002b0003020304000d0020001e04030503060302030804
          0805080604010501060102010402050206020202002d00020101001c00024001
        `,
      },
    },
    {
      by: 'client',
      step: 'send handshake record',
      values: {
        payload: `
          010000dc03034e640a3f2c2738f09c9418bd78edccd7559d0531199276d4d92a
          0e9ee9d77d0920a80c165581a8e0d06c0018d54d3a06dd32cfd4051eb026fad3
          fd0ba99269e6ef00061301130313020100008d0000000b000900000673657276
          6572ff01000100000a00140012001d0017001800190100010101020103010400
          3300260024001d00208e7292cf3056dbb0d25fcbe55c107dc9bbf83dd9708f39
          203ba341249a7d9b63002b0003020304000d0020001e04030503060302030804
          0805080604010501060102010402050206020202002d00020101001c00024001
        `,
        'complete record': `
          16030100e0010000dc03034e640a3f2c2738f09c9418bd78edccd7559d053119
          9276d4d92a0e9ee9d77d0920a80c165581a8e0d06c0018d54d3a06dd32cfd405
          1eb026fad3fd0ba99269e6ef00061301130313020100008d0000000b00090000
          06736572766572ff01000100000a00140012001d001700180019010001010102
          01030104003300260024001d00208e7292cf3056dbb0d25fcbe55c107dc9bbf8
          3dd9708f39203ba341249a7d9b63002b0003020304000d0020001e0403050306
          03020308040805080604010501060102010402050206020202002d0002010100
          1c00024001
        `,
      },
    },
    {
      by: 'server',
      step: 'extract secret "early"',
      values: {
        salt: '00',
        IKM: '0000000000000000000000000000000000000000000000000000000000000000',
        secret: '33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a',
      },
    },
    {
      by: 'server',
      step: 'create an ephemeral x25519 key pair',
      values: {
        'private key': '017c38a3647921ca2d9ed6bd7ae7132b94211b1331bb208c8ccdd51556409995',
        'public key': '3e30f0f4ba551afd62768341175f5265e4daf0c8841617aa4fafdd2142320c22',
      },
    },
    {
      by: 'server',
      step: 'construct a ServerHello handshake message',
      values: {
        ServerHello: `
          020000760303e5dd5948c435f7a38f0f0130708dc322d9df09abd4838117c183
          a7bb6d994f2c20a80c165581a8e0d06c0018d54d3a06dd32cfd4051eb026fad3
          fd0ba99269e6ef130100002e00330024001d00203e30f0f4ba551afd62768341
          175f5265e4daf0c8841617aa4fafdd2142320c22002b00020304
        `,
      },
    },
    {
      by: 'server',
      step: 'send handshake record',
      values: {
        payload: `
          020000760303e5dd5948c435f7a38f0f0130708dc322d9df09abd4838117c183
          a7bb6d994f2c20a80c165581a8e0d06c0018d54d3a06dd32cfd4051eb026fad3
          fd0ba99269e6ef130100002e00330024001d00203e30f0f4ba551afd62768341
          175f5265e4daf0c8841617aa4fafdd2142320c22002b00020304
        `,
        'complete record': `
          160303007a020000760303e5dd5948c435f7a38f0f0130708dc322d9df09abd4
          838117c183a7bb6d994f2c20a80c165581a8e0d06c0018d54d3a06dd32cfd405
          1eb026fad3fd0ba99269e6ef130100002e00330024001d00203e30f0f4ba551a
          fd62768341175f5265e4daf0c8841617aa4fafdd2142320c22002b00020304
        `,
      },
    },
    {
      by: 'server',
      step: 'send change_cipher_spec record',
      values: {
        payload: '01',
        'complete record': '140303000101',
      },
    },
    {
      by: 'server',
      step: 'derive secret for handshake "tls13 derived"',
      values: {
        PRK: '33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a',
        hash: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
        info: `
          00200d746c733133206465726976656420e3b0c44298fc1c149afbf4c8996fb9
          2427ae41e4649b934ca495991b7852b855
        `,
        expanded: '6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba',
      },
    },
    {
      by: 'server',
      step: 'extract secret "handshake"',
      values: {
        salt: '6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba',
        IKM: 'eef790559077db5bb63b6684e4169f051e8fb34ce59bafce2f9c8ee68cc4eb79',
        secret: 'f91761354a67e9b07c6dcc3a55707efa69c4519d8040e5f215121e0df69afa4a',
      },
    },
    {
      by: 'server',
      step: 'derive secret "tls13 c hs traffic"',
      values: {
        PRK: 'f91761354a67e9b07c6dcc3a55707efa69c4519d8040e5f215121e0df69afa4a',
        hash: '745c55bac399310b7b5a7c81a2c130b4d56dff6f68c3ab477857601e01f1f8d1',
        info: `
          002012746c7331332063206873207472616666696320745c55bac399310b7b5a
          7c81a2c130b4d56dff6f68c3ab477857601e01f1f8d1
        `,
        expanded: '2c3cb24a1081edb59518ee6861e89a6b72b3801afe7713e4cbbc21c0795bf831',
      },
    },
    {
      by: 'server',
      step: 'derive secret "tls13 s hs traffic"',
      values: {
        PRK: 'f91761354a67e9b07c6dcc3a55707efa69c4519d8040e5f215121e0df69afa4a',
        hash: '745c55bac399310b7b5a7c81a2c130b4d56dff6f68c3ab477857601e01f1f8d1',
        info: `
          002012746c7331332073206873207472616666696320745c55bac399310b7b5a
          7c81a2c130b4d56dff6f68c3ab477857601e01f1f8d1
        `,
        expanded: 'cace3d555cc1c577cf970cff28cf978d6a9800085442e18d695b50f3151d18c8',
      },
    },
    {
      by: 'server',
      step: 'derive secret for master "tls13 derived"',
      values: {
        PRK: 'f91761354a67e9b07c6dcc3a55707efa69c4519d8040e5f215121e0df69afa4a',
        hash: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
        info: `
          00200d746c733133206465726976656420e3b0c44298fc1c149afbf4c8996fb9
          2427ae41e4649b934ca495991b7852b855
        `,
        expanded: '5da12dc47835ba73fdd994b14ab7e63cc63f0d79162f6756e9a46756c8b2b642',
      },
    },
    {
      by: 'server',
      step: 'extract secret "master"',
      values: {
        salt: '5da12dc47835ba73fdd994b14ab7e63cc63f0d79162f6756e9a46756c8b2b642',
        IKM: '0000000000000000000000000000000000000000000000000000000000000000',
        secret: '628112dae2f702488063e42de6c850a5c0820b90903e00abc31875da03d4bc5b',
      },
    },
    {
      by: 'server',
      step: 'derive write traffic keys for handshake data',
      values: {
        PRK: 'cace3d555cc1c577cf970cff28cf978d6a9800085442e18d695b50f3151d18c8',
        'key info': '001009746c733133206b657900',
        'key expanded': '041091fdab29f2c8abfb156dc5fc8d54',
        'iv info': '000c08746c73313320697600',
        'iv expanded': '7464d791685de05998fcbadb',
      },
    },
    {
      by: 'server',
      step: 'construct an EncryptedExtensions handshake message',
      values: {
        EncryptedExtensions: `
          080000240022000a00140012001d00170018001901000101010201030104001c
          0002400100000000
        `,
      },
    },
    {
      by: 'server',
      step: 'construct a Certificate handshake message',
      values: {
        Certificate: `
          0b0001b9000001b50001b0308201ac30820115a003020102020102300d06092a
          864886f70d01010b0500300e310c300a06035504031303727361301e170d3136
          303733303031323335395a170d3236303733303031323335395a300e310c300a
          0603550403130372736130819f300d06092a864886f70d010101050003818d00
          30818902818100b4bb498f8279303d980836399b36c6988c0c68de55e1bdb826
          d3901a2461eafd2de49a91d015abbc9a95137ace6c1af19eaa6af98c7ced4312
          0998e187a80ee0ccb0524b1b018c3e0b63264d449a6d38e22a5fda4308467480
          30530ef0461c8ca9d9efbfae8ea6d1d03e2bd193eff0ab9a8002c47428a6d35a
          8d88d79f7f1e3f0203010001a31a301830090603551d1304023000300b060355
          1d0f0404030205a0300d06092a864886f70d01010b05000381810085aad2a0e5
          b9276b908c65f73a7267170618a54c5f8a7b337d2df7a594365417f2eae8f8a5
          8c8f8172f9319cf36b7fd6c55b80f21a03015156726096fd335e5e67f2dbf102
          702e608ccae6bec1fc63a42a99be5c3eb7107c3c54e9b9eb2bd5203b1c3b84e0
          a8b2f759409ba3eac9d91d402dcc0cc8f8961229ac9187b42b4de10000
        `,
      },
    },
    {
      by: 'server',
      step: 'construct a CertificateVerify handshake message',
      values: {
        CertificateVerify: `
          0f00008408040080a2301a68dd1ceee6938fe9d40c46b9201b34d59952a37e06
          523a39cf8ba6c9c8b68ae94492af780516ed7b73c82812e99dd3fabea45e09d9
          c6848721c2808c61501b0c75e7fcaba5f78bef68a2c2b69b19558b3e40387eea
          93d25c7781c1cc00e9f519f7e2e4adb73e76d66089000a2dc866c2ed30bba50a
          0d457f19dc6eb9f3
        `,
      },
    },
    {
      by: 'server',
      step: 'calculate finished "tls13 finished"',
      values: {
        PRK: 'cace3d555cc1c577cf970cff28cf978d6a9800085442e18d695b50f3151d18c8',
        hash: '',
        info: '00200e746c7331332066696e697368656400',
        expanded: '2c9f72f27b81e7df668caccd49371f1286d411e16c8ccc1c0d9aed72cbbdc080',
        finished: 'c8c3a8f1bff5274061f4bc3a7caffbdc9616094ca625caa65f8e76ed46db74d3',
      },
    },
    {
      by: 'server',
      step: 'construct a Finished handshake message',
      values: {
        Finished: `
          14000020c8c3a8f1bff5274061f4bc3a7caffbdc9616094ca625caa65f8e76ed
          46db74d3
        `,
      },
    },
    {
      by: 'server',
      step: 'send handshake record',
      values: {
        payload: `
          080000240022000a00140012001d00170018001901000101010201030104001c
          00024001000000000b0001b9000001b50001b0308201ac30820115a003020102
          020102300d06092a864886f70d01010b0500300e310c300a0603550403130372
          7361301e170d3136303733303031323335395a170d3236303733303031323335
          395a300e310c300a0603550403130372736130819f300d06092a864886f70d01
          0101050003818d0030818902818100b4bb498f8279303d980836399b36c6988c
          0c68de55e1bdb826d3901a2461eafd2de49a91d015abbc9a95137ace6c1af19e
          aa6af98c7ced43120998e187a80ee0ccb0524b1b018c3e0b63264d449a6d38e2
          2a5fda430846748030530ef0461c8ca9d9efbfae8ea6d1d03e2bd193eff0ab9a
          8002c47428a6d35a8d88d79f7f1e3f0203010001a31a301830090603551d1304
          023000300b0603551d0f0404030205a0300d06092a864886f70d01010b050003
          81810085aad2a0e5b9276b908c65f73a7267170618a54c5f8a7b337d2df7a594
          365417f2eae8f8a58c8f8172f9319cf36b7fd6c55b80f21a03015156726096fd
          335e5e67f2dbf102702e608ccae6bec1fc63a42a99be5c3eb7107c3c54e9b9eb
          2bd5203b1c3b84e0a8b2f759409ba3eac9d91d402dcc0cc8f8961229ac9187b4
          2b4de100000f00008408040080a2301a68dd1ceee6938fe9d40c46b9201b34d5
          9952a37e06523a39cf8ba6c9c8b68ae94492af780516ed7b73c82812e99dd3fa
          bea45e09d9c6848721c2808c61501b0c75e7fcaba5f78bef68a2c2b69b19558b
          3e40387eea93d25c7781c1cc00e9f519f7e2e4adb73e76d66089000a2dc866c2
          ed30bba50a0d457f19dc6eb9f314000020c8c3a8f1bff5274061f4bc3a7caffb
          dc9616094ca625caa65f8e76ed46db74d3
        `,
        'complete record': `
          17030302a248de891d9c3624a67a6c6f0601ab7ac20c1f6a9e14d2e6007e999e
          130367a8af1bcfea9498fbce19df4505eece3a25da523cbe55ea1b3bda4e9199
          5e455d500a4faa6227b7111e1c8547e2d7c179db215303d25827f3cd18f48f64
          91328cf5c0f814d388150bd9e9264aae491db6995069bea17665d5e0c817284d
          4ac21880054c3657331e23a9304dc88a15c04ec80bd3852bf7f9d3c6615b15fa
          c83bbca031c6d2310d9f5d7a4b020a4f7c19062b65c05a1d3264b557ec9d8e0f
          7cee27e36f793039de8dd96edfca9009e0651034bff31d7f349eece01d99fcb5
          fcab840d7707c72299c3b5d04564e880a33c5e846c762e3d922bb55303d1d87c
          c0f06573f17dcb9b8ffd35bbd883c1cb3aa24fcc325005f768ce2fb624ca97b6
          c4d98e17f35bc2c7940a06100c2d448db7180b2d862164435c9c210e9860394e
          05aab23ff1b0203f662c588da5bc4411477a30b41136c488a0a63fcab5c15ac6
          13226dae827a1d1fe95ece6b30bcee1560a8d408d264555e760f9bfc624c2c87
          fd0456c9bfb41bcd1a7b212786d2b67fd57804facfa1eef7cf2919d8b998c978
          9f763b4d9caa093a9ded43175d46a76b4d54f0ce0c5d2259b607e30a9d241263
          874fa59d6f570dc40d83a2d83bf9e9850d454c57806535a8998ae0357df92f00
          b9667344c24114ccc9ef539124b204e7e6e748c30a28a3d1d183997243eaccbb
          d33b0c1115a0327106a1e6a75271d4983086f632ff0eb8b4c63102cbcef5bb72
          dae1279d5de8eb19096d8cdb07fa8ea989788fac23e66e0488c193f3f3fea8c8
          838896bf3ae4b6848d42ced4bdf41abe6fc331b44225e7a1f7d3564147d5458e
          71aa909cb02be958bbc42e3aa5a27cc6eaf4b6fe51ae4495694d8ab6320aab92
          0183fd5b31a359042fbd67391ec5e4d1892a2e5210141a494e9301b24a113c47
          4c7f2a73457847
        `,
      },
    },
    {
      by: 'server',
      step: 'derive secret "tls13 c ap traffic"',
      values: {
        PRK: '628112dae2f702488063e42de6c850a5c0820b90903e00abc31875da03d4bc5b',
        hash: '0707dcac7b2fa428cc7f691694a2590c806aaa5c0cf5087ed5385012e7f96cd4',
        info: `
          002012746c73313320632061702074726166666963200707dcac7b2fa428cc7f
          691694a2590c806aaa5c0cf5087ed5385012e7f96cd4
        `,
        expanded: '743e4c6b56cf3909d1b06d01956ccd2c4b37758449aec41d98dae44924eaa299',
      },
    },
    {
      by: 'server',
      step: 'derive secret "tls13 s ap traffic"',
      values: {
        PRK: '628112dae2f702488063e42de6c850a5c0820b90903e00abc31875da03d4bc5b',
        hash: '0707dcac7b2fa428cc7f691694a2590c806aaa5c0cf5087ed5385012e7f96cd4',
        info: `
          002012746c73313320732061702074726166666963200707dcac7b2fa428cc7f
          691694a2590c806aaa5c0cf5087ed5385012e7f96cd4
        `,
        expanded: 'b6b8144aa335ed3059c0c9c8f0ecabf7afc94af6643bdecdfd9210188fab7451',
      },
    },
    {
      by: 'server',
      step: 'derive secret "tls13 exp master"',
      values: {
        PRK: '628112dae2f702488063e42de6c850a5c0820b90903e00abc31875da03d4bc5b',
        hash: '0707dcac7b2fa428cc7f691694a2590c806aaa5c0cf5087ed5385012e7f96cd4',
        info: `
          002010746c73313320657870206d6173746572200707dcac7b2fa428cc7f6916
          94a2590c806aaa5c0cf5087ed5385012e7f96cd4
        `,
        expanded: 'fb69121cea334db459e12272d179baca2369b643d11a6ac72b8b27a5c964feb1',
      },
    },
    {
      by: 'server',
      step: 'derive write traffic keys for application data',
      values: {
        PRK: 'b6b8144aa335ed3059c0c9c8f0ecabf7afc94af6643bdecdfd9210188fab7451',
        'key info': '001009746c733133206b657900',
        'key expanded': 'edc4cbd0041c28cc7167441d7ca53e6a',
        'iv info': '000c08746c73313320697600',
        'iv expanded': 'bf6c7d8e0a9545b427dcf139',
      },
    },
    {
      by: 'server',
      step: 'derive read traffic keys for handshake data',
      values: {
        PRK: '2c3cb24a1081edb59518ee6861e89a6b72b3801afe7713e4cbbc21c0795bf831',
        'key info': '001009746c733133206b657900',
        'key expanded': '62d13c13ffd7402fc1c09e3d163665cb',
        'iv info': '000c08746c73313320697600',
        'iv expanded': '7166f20028bf146dcfbd5a40',
      },
    },
    {
      by: 'client',
      step: 'extract secret "early"',
      sameAs: 'server early secret',
    },
    {
      by: 'client',
      step: 'derive secret for handshake "tls13 derived"',
      values: {
        PRK: '33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a',
        hash: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
        info: `
          00200d746c733133206465726976656420e3b0c44298fc1c149afbf4c8996fb9
          2427ae41e4649b934ca495991b7852b855
        `,
        expanded: '6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba',
      },
    },
    {
      by: 'client',
      step: 'extract secret "handshake"',
      sameAs: 'server handshake secret',
    },
    {
      by: 'client',
      step: 'derive secret "tls13 c hs traffic"',
      sameAs: 'server',
    },
    {
      by: 'client',
      step: 'derive secret "tls13 s hs traffic"',
      sameAs: 'server',
    },
    {
      by: 'client',
      step: 'derive secret for master "tls13 derived"',
      sameAs: 'server',
    },
    {
      by: 'client',
      step: 'extract secret "master"',
      sameAs: 'server master secret',
    },
    {
      by: 'client',
      step: 'derive read traffic keys for handshake data',
      sameAs: 'server handshake data write traffic keys',
    },
    {
      by: 'client',
      step: 'calculate finished "tls13 finished"',
      sameAs: 'server',
    },
    {
      by: 'client',
      step: 'derive secret "tls13 c ap traffic"',
      sameAs: 'server',
    },
    {
      by: 'client',
      step: 'derive secret "tls13 s ap traffic"',
      sameAs: 'server',
    },
    {
      by: 'client',
      step: 'derive secret "tls13 exp master"',
      sameAs: 'server',
    },
    {
      by: 'client',
      step: 'send change_cipher_spec record',
      values: {
        payload: '01',
        'complete record': '140303000101',
      },
    },
    {
      by: 'client',
      step: 'derive write traffic keys for handshake data',
      sameAs: 'server handshake data read traffic keys',
    },
    {
      by: 'client',
      step: 'derive read traffic keys for application data',
      sameAs: 'server application data write traffic keys',
    },
    {
      by: 'client',
      step: 'calculate finished "tls13 finished"',
      values: {
        PRK: '2c3cb24a1081edb59518ee6861e89a6b72b3801afe7713e4cbbc21c0795bf831',
        hash: '',
        info: '00200e746c7331332066696e697368656400',
        expanded: '77341abc8c0ffab5180736713e41d2f665c410a404c8c21edcd948a4440fd80c',
        finished: '692cab155cc6c100ead60733d0617f6fb09b71aa1e8c9accbbbc9e8ed336c1dd',
      },
    },
    {
      by: 'client',
      step: 'construct a Finished handshake message',
      values: {
        Finished: `
          14000020692cab155cc6c100ead60733d0617f6fb09b71aa1e8c9accbbbc9e8e
          d336c1dd
        `,
      },
    },
    {
      by: 'client',
      step: 'send handshake record',
      values: {
        payload: `
          14000020692cab155cc6c100ead60733d0617f6fb09b71aa1e8c9accbbbc9e8e
          d336c1dd
        `,
        'complete record': `
          170303003532d030e273773a8696c799981af6ced07f87482e81565e394e87c8
          67f33df3d65b7506f1a626af91d4821d5f7a1f210ef8dd3c6d16
        `,
      },
    },
    {
      by: 'client',
      step: 'derive write traffic keys for application data',
      values: {
        PRK: '743e4c6b56cf3909d1b06d01956ccd2c4b37758449aec41d98dae44924eaa299',
        'key info': '001009746c733133206b657900',
        'key expanded': '33d7f9709756c966488ad4438437e673',
        'iv info': '000c08746c73313320697600',
        'iv expanded': 'c5f30d34b0e91b7d6c8eea65',
      },
    },
    {
      by: 'client',
      step: 'derive secret "tls13 res master"',
      values: {
        PRK: '628112dae2f702488063e42de6c850a5c0820b90903e00abc31875da03d4bc5b',
        hash: 'a021d3a05bd418a772813875ef79b0af68c5123215427ab7333f8c27722a9fd5',
        info: `
          002010746c73313320726573206d617374657220a021d3a05bd418a772813875
          ef79b0af68c5123215427ab7333f8c27722a9fd5
        `,
        expanded: '0b5d4407cea0a42a3a81dd477647b7fe9180db297e5114f1ad8796b4dc475004',
      },
    },
    {
      by: 'server',
      step: 'calculate finished "tls13 finished"',
      sameAs: 'client',
    },
    {
      by: 'server',
      step: 'derive read traffic keys for application data',
      sameAs: 'client application data write traffic keys',
    },
    {
      by: 'server',
      step: 'derive secret "tls13 res master"',
      sameAs: 'client',
    },
    {
      by: 'client',
      step: 'send alert record',
      values: {
        payload: '0100',
        'complete record': '17030300130f629155382dba23c4e2c5f7f84e6f2ed3083d',
      },
    },
    {
      by: 'server',
      step: 'send alert record',
      values: {
        payload: '0100',
        'complete record': '1703030013b7257b0fecaf69d4f09e3f891e2a25d1e28845',
      },
    },
  ],
};
