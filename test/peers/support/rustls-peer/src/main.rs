//! A client and a server on rustls, for tests. Both send back what they get, and print a line of JSON about each handshake.
//!
//!     rustls-peer server -cert FILE -key FILE [-groups N,N] [-version 1.2|1.3] [-client-ca FILE]
//!     rustls-peer client -connect ADDR -ca FILE [-groups N,N] [-version 1.2|1.3] [-cert FILE -key FILE] [-times N]

use rustls::crypto::{aws_lc_rs, CryptoProvider};
use rustls::pki_types::{pem::PemObject, CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    version, ClientConfig, ClientConnection, CommonState, HandshakeKind, RootCertStore, ServerConfig, ServerConnection,
    StreamOwned, SupportedProtocolVersion,
};
use std::collections::HashMap;
use std::error::Error;
use std::io::{copy, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

type Failure = Box<dyn Error + Send + Sync>;

struct Options(HashMap<String, String>);

impl Options {
    fn parse(arguments: &[String]) -> Self {
        Options(arguments.chunks(2).map(|pair| (pair[0].clone(), pair.get(1).cloned().unwrap_or_default())).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn need(&self, name: &str) -> Result<&str, Failure> {
        self.get(name).ok_or_else(|| format!("{name} is missing").into())
    }

    fn provider(&self) -> Arc<CryptoProvider> {
        let mut provider = aws_lc_rs::default_provider();
        if let Some(groups) = self.get("-groups") {
            let wanted: Vec<u16> = groups.split(',').filter_map(|group| group.parse().ok()).collect();
            provider.kx_groups.retain(|group| wanted.contains(&u16::from(group.name())));
        }
        Arc::new(provider)
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        match self.get("-version") {
            Some("1.2") => vec![&version::TLS12],
            Some("1.3") => vec![&version::TLS13],
            _ => vec![&version::TLS13, &version::TLS12],
        }
    }

    fn identity(&self) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, Failure> {
        let Some(file) = self.get("-cert") else { return Ok(None) };
        Ok(Some((certificates(file)?, PrivateKeyDer::from_pem_file(self.need("-key")?)?)))
    }
}

fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    Ok(CertificateDer::pem_file_iter(file)?.collect::<Result<_, _>>()?)
}

fn roots(file: &str) -> Result<Arc<RootCertStore>, Failure> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(file)? {
        store.add(certificate)?;
    }
    Ok(Arc::new(store))
}

fn report(state: &CommonState) {
    println!(
        "SESSION {{\"version\":{},\"suite\":{},\"curve\":{},\"resumed\":{},\"peer\":{}}}",
        state.protocol_version().map_or(0, u16::from),
        state.negotiated_cipher_suite().map_or(0, |suite| u16::from(suite.suite())),
        state.negotiated_key_exchange_group().map_or(0, |group| u16::from(group.name())),
        state.handshake_kind() == Some(HandshakeKind::Resumed),
        state.peer_certificates().map_or(0, <[_]>::len),
    );
}

fn serve(options: &Options) -> Result<(), Failure> {
    let provider = options.provider();
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&options.versions())?;
    let builder = match options.get("-client-ca") {
        Some(file) => builder
            .with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(roots(file)?, provider).build()?),
        None => builder.with_no_client_auth(),
    };
    let (chain, key) = options.identity()?.ok_or("-cert is missing")?;
    let config = Arc::new(builder.with_single_cert(chain, key)?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("LISTEN {}", listener.local_addr()?.port());
    for transport in listener.incoming() {
        let config = config.clone();
        std::thread::spawn(move || {
            if let Err(error) = echo(config, transport) {
                println!("FAILED {error}");
            }
        });
    }
    Ok(())
}

fn echo(config: Arc<ServerConfig>, transport: std::io::Result<TcpStream>) -> Result<(), Failure> {
    let mut transport = transport?;
    let mut session = ServerConnection::new(config)?;
    while session.is_handshaking() {
        session.complete_io(&mut transport)?;
    }
    report(&session);
    let mut stream = StreamOwned::new(session, transport);
    let mut buffer = BufReader::new(&mut stream);
    loop {
        let mut line = Vec::new();
        if buffer.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        buffer.get_mut().write_all(&line)?;
    }
    stream.conn.send_close_notify();
    stream.flush()?;
    Ok(())
}

fn dial(options: &Options) -> Result<(), Failure> {
    let builder = ClientConfig::builder_with_provider(options.provider())
        .with_protocol_versions(&options.versions())?
        .with_root_certificates(roots(options.need("-ca")?)?);
    let config = Arc::new(match options.identity()? {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    });
    let times: usize = options.get("-times").unwrap_or("1").parse()?;
    for _ in 0..times {
        let mut transport = TcpStream::connect(options.need("-connect")?)?;
        let mut session = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
        while session.is_handshaking() {
            session.complete_io(&mut transport)?;
        }
        report(&session);
        let mut stream = StreamOwned::new(session, transport);
        stream.write_all(b"ping\n")?;
        let mut line = String::new();
        BufReader::new(&mut stream).read_line(&mut line)?;
        print!("GOT {line}");
        stream.conn.send_close_notify();
        stream.flush()?;
        // To the end, or what still comes would reset the connection.
        let _ = copy(&mut stream, &mut std::io::sink());
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = Options::parse(arguments.get(1..).unwrap_or_default());
    match arguments.first().map(String::as_str) {
        Some("server") => serve(&options),
        Some("client") => dial(&options),
        _ => Err("say client or server".into()),
    }
}
