//! Certificates made at test time: good ones, and ones with one thing wrong.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// It was valid once.
    Expired,
    /// It is signed by [`Certificates::other_ca`], which nobody trusts who trusts
    /// [`Certificates::ca`].
    OtherCa,
    /// It is for somebody else, called `stranger.test`.
    WrongName,
}

/// A certificate and its private key, each in a PEM file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The file of the certificate.
    pub certificate: PathBuf,
    /// The file of the key (PKCS #8).
    pub key: PathBuf,
}

/// A certificate authority with certificates for a server and a client, as PEM files in a temporary
/// folder. They are gone when it is dropped.
#[derive(Debug)]
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// The name on the client's certificate; with `verify_and_map: true` it is the user that the
    /// client is.
    pub const CLIENT_NAME: &str = "client.test";

    /// For a server that is called `localhost`, `127.0.0.1` or `::1`.
    ///
    /// # Errors
    ///
    /// As [`Certificates::for_names`].
    pub fn new() -> io::Result<Certificates> {
        Certificates::for_names(&["localhost", "127.0.0.1", "::1"])
    }

    /// For a server that is called by any of these names or IP addresses.
    ///
    /// # Errors
    ///
    /// When a name cannot be in a certificate, or the files cannot be written.
    pub fn for_names(names: &[&str]) -> io::Result<Certificates> {
        let folder = tempfile::Builder::new().prefix("jetlane-tls-").tempdir()?;
        let certificates = Certificates { folder };
        let ca = Authority::new("jetlane test CA", &certificates.ca())?;
        let other = Authority::new("another CA", &certificates.other_ca())?;
        for flaw in [Flaw::None, Flaw::Expired, Flaw::OtherCa, Flaw::WrongName] {
            let issuer = if flaw == Flaw::OtherCa { &other } else { &ca };
            let server = (names, ExtendedKeyUsagePurpose::ServerAuth);
            issuer.issue(server, flaw, &certificates.server(flaw))?;
            let client = (&[Certificates::CLIENT_NAME][..], ExtendedKeyUsagePurpose::ClientAuth);
            issuer.issue(client, flaw, &certificates.client(flaw))?;
        }
        Ok(certificates)
    }

    /// The file with the certificate of the authority that both sides are to trust.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// The file with the certificate of the authority behind [`Flaw::OtherCa`].
    #[must_use]
    pub fn other_ca(&self) -> PathBuf {
        self.file("other-ca.pem")
    }

    /// The server's certificate and key.
    #[must_use]
    pub fn server(&self, flaw: Flaw) -> Identity {
        self.identity("server", flaw)
    }

    /// The client's certificate and key.
    #[must_use]
    pub fn client(&self, flaw: Flaw) -> Identity {
        self.identity("client", flaw)
    }

    /// The `tls` block of a server's config, with the given text of the same syntax in it:
    /// `verify: true` to demand the client's certificate, `handshake_first: true` to have the
    /// handshake before INFO.
    #[must_use]
    pub fn server_config(&self, flaw: Flaw, more: &str) -> String {
        let Identity { certificate, key } = self.server(flaw);
        let ca = self.ca();
        format!(
            "tls {{\ncert_file: {certificate:?}\nkey_file: {key:?}\nca_file: {ca:?}\n\
             timeout: 10\n{more}\n}}\n"
        )
    }

    fn identity(&self, side: &str, flaw: Flaw) -> Identity {
        let name = format!("{side}-{flaw:?}").to_lowercase();
        Identity {
            certificate: self.file(&format!("{name}.pem")),
            key: self.file(&format!("{name}.key")),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Who signs certificates.
struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str, file: &Path) -> io::Result<Authority> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        fs::write(file, certificate.pem())?;
        Ok(Authority(Issuer::new(params, key)))
    }

    /// Writes a certificate for whoever goes by `names`, and its key.
    fn issue(
        &self,
        (names, usage): (&[&str], ExtendedKeyUsagePurpose),
        flaw: Flaw,
        files: &Identity,
    ) -> io::Result<()> {
        let names = if flaw == Flaw::WrongName { &["stranger.test"] } else { names };
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names.clone()).map_err(io::Error::other)?;
        params.distinguished_name.push(DnType::CommonName, names.concat());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        if flaw == Flaw::Expired {
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params.signed_by(&key, &self.0).map_err(io::Error::other)?;
        fs::write(&files.certificate, certificate.pem())?;
        fs::write(&files.key, key.serialize_pem())
    }
}
