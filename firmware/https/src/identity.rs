//! Who the server has to be: a certificate for its name, signed by one authority.
//!
//! embedded-tls 0.19 leaves to its caller more than its interface says (read in its source):
//!
//! * Its handshake ends with the server's Finished whether or not a certificate came before it. A
//!   server that sends none is authenticated by nobody. So [`Identity`] notes what it verified, and
//!   [`Identity::verified`] is asked once the handshake is over.
//! * Its chains take any certificate for an authority, also a server's. So only the first certificate
//!   counts, and the pinned authority itself has to have signed it.
//! * It knows no time without a clock. A device that has none takes expired certificates.
//!
//! Metadata and images are signed end to end; TLS keeps who asks for what from the network.

use embedded_tls::pki::CertVerifier;
use embedded_tls::{
    Aes128GcmSha256, Certificate, CertificateRef, CertificateVerifyRef, CryptoProvider,
    CryptoRngCore, NoClock, TlsCipherSuite, TlsError, TlsVerifier,
};

/// The one cipher suite that is offered.
pub(crate) type Suite = Aes128GcmSha256;
/// Most bytes of what the server sends as its certificate chain.
const CERTIFICATE_SIZE: usize = 4096;

/// The hash of the handshake so far.
type Transcript = <Suite as TlsCipherSuite>::Hash;

/// Randomness, and who the server has to be.
pub struct Identity<'a, R> {
    rng: R,
    pinned: Pinned<'a>,
}

/// Verifies one certificate against one authority.
struct Pinned<'a> {
    inner: CertVerifier<'a, Suite, NoClock, CERTIFICATE_SIZE>,
    progress: Progress,
}

/// How much of the server's identity is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Nothing,
    /// The certificate is the authority's, for the right name.
    Certificate,
    /// The server holds its key.
    Proven,
}

impl<'a, R: CryptoRngCore> Identity<'a, R> {
    /// Pins an authority, a certificate in DER. The server's name is told to TLS with the connection.
    pub fn new(rng: R, authority: &'a [u8]) -> Self {
        let inner = CertVerifier::new(Certificate::X509(authority));
        let progress = Progress::Nothing;
        Self {
            rng,
            pinned: Pinned { inner, progress },
        }
    }

    /// Whether the server has proven who it is: a handshake that ended well does not say so.
    #[must_use]
    pub fn verified(&self) -> bool {
        self.pinned.progress == Progress::Proven
    }
}

impl<R: CryptoRngCore> CryptoProvider for Identity<'_, R> {
    type CipherSuite = Suite;
    type Signature = p256::ecdsa::DerSignature;

    fn rng(&mut self) -> impl CryptoRngCore {
        &mut self.rng
    }

    fn verifier(&mut self) -> Result<&mut impl TlsVerifier<Suite>, TlsError> {
        Ok(&mut self.pinned)
    }
}

impl TlsVerifier<Suite> for Pinned<'_> {
    fn set_hostname_verification(&mut self, hostname: &str) -> Result<(), TlsError> {
        self.inner.set_hostname_verification(hostname)
    }

    fn verify_certificate(
        &mut self,
        transcript: &Transcript,
        mut certificate: CertificateRef<'_>,
    ) -> Result<(), TlsError> {
        self.progress = Progress::Nothing;
        if certificate.entries.is_empty() {
            return Err(TlsError::InvalidCertificate);
        }
        certificate.entries.truncate(1);
        self.inner.verify_certificate(transcript, certificate)?;
        self.progress = Progress::Certificate;
        Ok(())
    }

    fn verify_signature(&mut self, verify: CertificateVerifyRef<'_>) -> Result<(), TlsError> {
        if self.progress != Progress::Certificate {
            return Err(TlsError::InvalidHandshake);
        }
        self.progress = Progress::Nothing;
        self.inner.verify_signature(verify)?;
        self.progress = Progress::Proven;
        Ok(())
    }
}
