//! TLS, by rustls. Certificates and keys are read anew for every connection, as they are renewed while we run.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// How TLS is done. With one of these, or a `tls://` URL, nothing is sent to a server before TLS stands.
///
/// The name that the server's certificate must be for is the one that you gave: [`Tls::server_name`], or the host of your URL;
/// never one that a server tells. So a server that another one tells of must show a certificate for the name of the server that you gave:
/// where the servers of a cluster have a certificate each, have that name in all of them, give all of them, or set the name.
#[derive(Clone, Debug, Default)]
#[must_use = "to be given to ConnectOptions::tls"]
pub struct Tls {
    first: bool,
    roots: Vec<PathBuf>,
    client: Option<(PathBuf, PathBuf)>,
    server_name: Option<String>,
    config: Option<Arc<ClientConfig>>,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file with certificates or a key can not be used. The caller's fault.
    #[error("the TLS file {} can not be used: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system has no certificates to trust. Give some with `Tls::root_certificates`.
    #[error("this system has no certificates to trust: {reason}")]
    NoRoots {
        /// What was found instead.
        reason: String,
    },
    /// The client certificate and its key do not fit. The caller's fault.
    #[error("the client certificate can not be used: {0}")]
    ClientCertificate(#[source] rustls::Error),
    /// The name can not be that of a certificate.
    #[error("{name:?} is no name that a certificate can be for")]
    Name {
        /// The name.
        name: String,
    },
    /// The server or its certificate was refused, or it refused ours.
    #[error(
        "TLS failed: {0}; check the CA (Tls::root_certificates), the name in the server's certificate, its dates, and whether the server \
         wants a client certificate"
    )]
    Handshake(#[source] rustls::Error),
}

impl Tls {
    /// TLS when the server has said its INFO, trusting what the system trusts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins with TLS, before the server says anything. For servers with `handshake_first` (nats-server 2.10.4+).
    pub fn handshake_first(mut self) -> Self {
        self.first = true;
        self
    }

    /// Trusts the certificates in this PEM file (and in those given before), instead of those that the system trusts.
    pub fn root_certificates(mut self, pem: impl AsRef<Path>) -> Self {
        self.roots.push(pem.as_ref().into());
        self
    }

    /// Shows the server this certificate (a PEM file, with its chain), with this private key (PEM).
    pub fn client_certificate(mut self, pem: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.client = Some((pem.as_ref().into(), key.as_ref().into()));
        self
    }

    /// The name that every server's certificate must be for. Default: the host of the URL.
    pub fn server_name(mut self, name: &str) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// A rustls configuration of your own. Certificates and keys from files are not used then, and nothing is read anew.
    pub fn rustls(mut self, config: Arc<ClientConfig>) -> Self {
        self.config = Some(config);
        self
    }

    pub(crate) fn is_first(&self) -> bool {
        self.first
    }

    /// TLS to a server whose certificate must be for `host`, unless another name was set.
    pub(crate) fn open(&self, host: &str) -> Result<TlsStream, TlsError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        let bad_name = || TlsError::Name { name: name.into() };
        let server_name = match name.parse::<IpAddr>() {
            Ok(address) => ServerName::from(address),
            Err(_) => ServerName::try_from(name.to_string()).map_err(|_| bad_name())?,
        };
        let config = match &self.config {
            Some(config) => Arc::clone(config),
            None => Arc::new(self.read_config()?),
        };
        let connection = ClientConnection::new(config, server_name).map_err(TlsError::Handshake)?;
        Ok(TlsStream { connection: Box::new(connection), failed: None, held: 0, broken: None })
    }

    fn read_config(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Handshake)?
            .with_root_certificates(self.read_roots()?);
        match &self.client {
            None => Ok(builder.with_no_client_auth()),
            Some((pem, key)) => {
                let key_der = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(bad_file(key))?;
                builder
                    .with_client_auth_cert(read_certificates(pem)?, key_der)
                    .map_err(TlsError::ClientCertificate)
            }
        }
    }

    fn read_roots(&self) -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        for path in &self.roots {
            for certificate in read_certificates(path)? {
                store.add(certificate).map_err(bad_file(path))?;
            }
        }
        if self.roots.is_empty() {
            let found = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(found.certs);
            if store.is_empty() {
                let reason = found.errors.first().map_or("none found".into(), ToString::to_string);
                return Err(TlsError::NoRoots { reason });
            }
        }
        Ok(store)
    }
}

/// How TLS is done if the user did not say.
pub(crate) fn usual() -> Result<Tls, TlsError> {
    Ok(Tls::new())
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(bad_file(path))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(bad_file(path))?;
    if certificates.is_empty() {
        return Err(TlsError::File { path: path.into(), reason: "it holds no certificate".into() });
    }
    Ok(certificates)
}

fn bad_file<E: ToString>(path: &Path) -> impl FnOnce(E) -> TlsError {
    let path = path.to_path_buf();
    move |error| TlsError::File { path, reason: error.to_string() }
}

/// TLS over a socket that does not block.
#[derive(Debug)]
pub(crate) struct TlsStream {
    connection: Box<ClientConnection>,
    /// Set once TLS has failed: nothing more comes of it.
    failed: Option<rustls::Error>,
    /// No fewer bytes than were taken and wait for the socket.
    held: usize,
    /// Why the socket has failed, for whoever writes next.
    broken: Option<io::Error>,
}

impl TlsStream {
    /// True while bytes wait for the socket.
    pub(crate) fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// How many bytes were taken to be sent, and wait for the socket; perhaps not all of them.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Why TLS has failed, if it has.
    pub(crate) fn take_error(&mut self) -> Option<TlsError> {
        self.failed.take().map(TlsError::Handshake)
    }

    /// Reads what the peer has sent and TLS has opened. 0 is the end.
    pub(crate) fn read(
        &mut self,
        socket: &mut (impl Read + Write),
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // A peer that closes its socket without saying so in TLS could be somebody else who cuts: for NATS, whose frames
                // have lengths, it is an end as any other.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                done => return done,
            }
            if self.connection.read_tls(socket)? == 0 {
                return Ok(0);
            }
            let processed = self.connection.process_new_packets();
            // The answer to a handshake, or the alert that says why not.
            // If it can not be sent, whoever writes next is told: what has come is to be read first.
            let _ = self.flush(socket);
            if let Err(error) = processed {
                let told = io::Error::new(ErrorKind::InvalidData, error.clone());
                self.failed = Some(error);
                return Err(told);
            }
        }
    }

    /// Takes bytes to be sent, and sends what the socket takes. Fails with `WouldBlock` if it takes no more.
    pub(crate) fn write(&mut self, socket: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
        self.flush(socket)?;
        let taken = self.connection.writer().write(bytes)?;
        self.held += taken;
        // What was taken may have been sent, also if this fails: to tell of it now would have it sent again on the next connection.
        // Whoever writes next is told.
        let _ = self.flush(socket);
        match taken {
            0 if !bytes.is_empty() => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(taken),
        }
    }

    /// Sends what waits.
    pub(crate) fn flush(&mut self, socket: &mut impl Write) -> io::Result<()> {
        if let Some(error) = &self.broken {
            return Err(same(error));
        }
        while self.connection.wants_write() {
            match self.connection.write_tls(socket) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(error),
                Err(error) => {
                    self.broken = Some(same(&error));
                    return Err(error);
                }
                Ok(_) => {}
            }
        }
        self.held = 0;
        Ok(())
    }

    /// Says that nothing more will come.
    pub(crate) fn finish(&mut self, socket: &mut impl Write) {
        self.connection.send_close_notify();
        // A socket that takes nothing now gets no farewell.
        let _ = self.flush(socket);
    }
}

/// An error of the system once more.
fn same(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}
