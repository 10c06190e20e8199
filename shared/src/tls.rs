//! TLS 1.3, and nothing older, with certificates that are read again when their files change. A connection keeps the
//! certificate with which it began; it is renewed within the longest age of a connection.

use std::{fmt, fs, path::PathBuf, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::TLS13,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::{
    access::{Digest, sha256},
    config::TlsConfig,
    reloaded::Reloaded,
    serve::Stop,
};

/// What HTTP/2 calls itself in a handshake.
const ALPN: &[u8] = b"h2";

/// The server's side. Cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<Reloaded<ServerConfig>>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0).finish()
    }
}

impl Tls {
    /// Certificate and key of the settings; none if they name none.
    ///
    /// # Errors
    /// What is wrong with the settings or the files.
    pub fn load(config: &TlsConfig) -> Result<Option<Self>, String> {
        let (certificate, key) = match (&config.tls_cert, &config.tls_key) {
            (None, None) if config.tls_client_ca.is_none() => return Ok(None),
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            _ => return Err("--tls-cert and --tls-key belong together, and --tls-client-ca needs both".to_owned()),
        };
        if config.tls_client_required && config.tls_client_ca.is_none() {
            return Err("--tls-client-required needs --tls-client-ca".to_owned());
        }
        let is_required = config.tls_client_required;
        let paths = [Some(certificate), Some(key), config.tls_client_ca.clone()];
        let reloaded = Reloaded::load(paths.into_iter().flatten().collect(), move |files| match files {
            [certificate, key] => server_config(certificate, key, None),
            [certificate, key, authority] => server_config(certificate, key, Some((authority, is_required))),
            _ => Err("a certificate and a key are needed".to_owned()),
        })?;
        Ok(Some(Self(reloaded)))
    }

    /// Reads the files again when they change, until the service stops.
    pub fn keep_fresh(&self, stop: &Stop) {
        tokio::spawn(self.0.clone().keep_fresh(stop.token.clone()));
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// The other side speaks no TLS 1.3, no HTTP/2, or has no certificate that is needed.
    pub async fn accept<T: AsyncRead + AsyncWrite + Unpin>(&self, io: T) -> std::io::Result<TlsStream<T>> {
        let stream = TlsAcceptor::from(self.0.get()).accept(io).await?;
        if stream.get_ref().1.alpn_protocol() == Some(ALPN) {
            return Ok(stream);
        }
        Err(std::io::Error::other("the other side does not offer h2"))
    }
}

/// The SHA-256 of the certificate that the other side has shown.
pub fn certificate_of<T>(stream: &TlsStream<T>) -> Option<Digest> {
    stream.get_ref().1.peer_certificates()?.first().map(|certificate| sha256(certificate))
}

fn server_config(certificate: &[u8], key: &[u8], clients: Option<(&[u8], bool)>) -> Result<ServerConfig, String> {
    let text = |error: &dyn fmt::Display| error.to_string();
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ClientCertVerifier> = match clients {
        None => Arc::new(NoClientAuth),
        Some((authority, is_required)) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(authority)? {
                roots.add(certificate).map_err(|error| text(&error))?;
            }
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            let builder = if is_required { builder } else { builder.allow_unauthenticated() };
            builder.build().map_err(|error| text(&error))?
        }
    };
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("the key: {error}"))?;
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
    let builder = builder.map_err(|error| text(&error))?.with_client_cert_verifier(verifier);
    let mut config = builder.with_single_cert(certificates(certificate)?, key).map_err(|error| text(&error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|error| error.to_string())?;
    if certificates.is_empty() { Err("holds no CERTIFICATE".to_owned()) } else { Ok(certificates) }
}

/// What a client of a service is given in files; read anew for each connection.
#[derive(Clone, Debug, Default)]
pub struct ClientFiles {
    /// Whose certificates are trusted.
    pub authority: Option<PathBuf>,
    /// Its own certificate and the key of it.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Its token.
    pub token: Option<PathBuf>,
}

impl ClientFiles {
    /// The settings of a TLS connection.
    ///
    /// # Errors
    /// Which file cannot be read.
    pub fn tls(&self) -> Result<ClientTlsConfig, String> {
        let mut tls = ClientTlsConfig::new();
        if let Some(authority) = &self.authority {
            tls = tls.ca_certificate(Certificate::from_pem(read(authority)?));
        }
        if let Some((certificate, key)) = &self.identity {
            tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        Ok(tls)
    }

    /// The token, as a header has it.
    ///
    /// # Errors
    /// The file cannot be read, or holds no token.
    pub fn authorization(&self) -> Result<Option<http::HeaderValue>, String> {
        let Some(path) = &self.token else { return Ok(None) };
        let token = read(path)?;
        let token = format!("Bearer {}", String::from_utf8_lossy(&token).trim());
        let mut value = http::HeaderValue::try_from(token).map_err(|error| format!("{}: {error}", path.display()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}
