//! The private key that one logs in with.
//!
//! RSA keys are used by way of ring: the library that russh would use for them leaks by its timing (RUSTSEC-2023-0071).

use std::path::Path;

use num_bigint::BigUint;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair as RsaKeyPair, KeyPairComponents, PublicKeyComponents};
use ring::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA512};
use russh::Signer;
use russh::keys::agent::AgentIdentity;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::private::{KeypairData, RsaKeypair};
use russh::keys::ssh_key::public::RsaPublicKey;
use russh::keys::ssh_key::{Mpint, Signature};
use russh::keys::{Algorithm, Error as FormatError, HashAlg, PrivateKey, PublicKey, decode_secret_key};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::login::LoginError;

/// Why a file holds no key that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("it is protected by a passphrase: make a key without one (ssh-keygen -t ed25519 -N '')")]
    Encrypted,
    #[error("it is a public key: name the private one, which has no .pub at its end")]
    Public,
    #[error("RSA keys must have 2048 to 4096 bits here: {0}")]
    Rsa(String),
    #[error("it is no private key of the kinds ed25519, ecdsa or RSA: {0}")]
    Malformed(String),
}

/// A private key.
pub(super) enum LoginKey {
    /// One that russh signs with.
    Curve(PrivateKey),
    /// One that ring signs with.
    Rsa(RsaSigner),
}

impl LoginKey {
    /// Reads the file at `path`: in OpenSSH's format, or PEM.
    pub(super) fn read(path: &Path) -> Result<Self, KeyError> {
        let text = std::fs::read_to_string(path)?;
        if text.contains("ENCRYPTED") {
            return Err(KeyError::Encrypted);
        }
        if PublicKey::from_openssh(text.trim()).is_ok() {
            return Err(KeyError::Public);
        }
        let rejected = |error: ring::error::KeyRejected| KeyError::Rsa(error.to_string());
        match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
            Ok(PrivateKeyDer::Pkcs1(der)) => {
                let pair = RsaKeyPair::from_der(der.secret_pkcs1_der()).map_err(rejected)?;
                return Ok(Self::Rsa(RsaSigner(pair)));
            }
            Ok(PrivateKeyDer::Pkcs8(der)) if is_rsa(der.secret_pkcs8_der()) => {
                let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(rejected)?;
                return Ok(Self::Rsa(RsaSigner(pair)));
            }
            _ => {}
        }
        let key = decode_secret_key(&text, None).map_err(|error| match error {
            FormatError::KeyIsEncrypted => KeyError::Encrypted,
            error => KeyError::Malformed(error.to_string()),
        })?;
        match key.key_data() {
            KeypairData::Rsa(pair) => Ok(Self::Rsa(RsaSigner::of(pair)?)),
            _ => Ok(Self::Curve(key)),
        }
    }
}

/// Whether a key in PKCS#8 is an RSA key: it names the algorithm 1.2.840.113549.1.1.1 near its front.
fn is_rsa(der: &[u8]) -> bool {
    const OID: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    der[..der.len().min(32)].windows(OID.len()).any(|bytes| bytes == OID)
}

/// Signs with an RSA key.
pub(super) struct RsaSigner(RsaKeyPair);

impl RsaSigner {
    /// OpenSSH's format leaves out two numbers that ring wants.
    fn of(pair: &RsaKeypair) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed("a number in it is negative".to_owned());
        let bytes = |number: &Mpint| number.as_positive_bytes().map(<[u8]>::to_vec).ok_or_else(malformed);
        let (public, private) = (pair.public(), pair.private());
        let (d, p, q) = (bytes(private.d())?, bytes(private.p())?, bytes(private.q())?);
        let exponent = |prime: &[u8]| {
            let prime = BigUint::from_bytes_be(prime);
            let one = BigUint::from(1_u32);
            (prime > one).then(|| (BigUint::from_bytes_be(&d) % (prime - one)).to_bytes_be()).ok_or_else(malformed)
        };
        let components = KeyPairComponents {
            public_key: PublicKeyComponents { n: bytes(public.n())?, e: bytes(public.e())? },
            dP: exponent(&p)?,
            dQ: exponent(&q)?,
            qInv: bytes(private.iqmp())?,
            d,
            p,
            q,
        };
        let pair = RsaKeyPair::from_components(&components).map_err(|error| KeyError::Rsa(error.to_string()))?;
        Ok(Self(pair))
    }

    /// The public half.
    pub(super) fn public_key(&self) -> Option<PublicKey> {
        let public = PublicKeyComponents::<Vec<u8>>::from(self.0.public());
        let number = |bytes: &[u8]| Mpint::from_positive_bytes(bytes);
        RsaPublicKey::new(number(&public.e), number(&public.n)).ok().map(PublicKey::from)
    }

    fn sign(&self, hash: HashAlg, text: &[u8]) -> Option<Signature> {
        let encoding = if hash == HashAlg::Sha256 { &RSA_PKCS1_SHA256 } else { &RSA_PKCS1_SHA512 };
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0.sign(encoding, &SystemRandom::new(), text, &mut signature).ok()?;
        Signature::new(Algorithm::Rsa { hash: Some(hash) }, signature).ok()
    }
}

impl Signer for RsaSigner {
    type Error = LoginError;

    /// `text`, followed by the signature as RFC 4252 has it.
    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        hash: Option<HashAlg>,
        mut text: Vec<u8>,
    ) -> Result<Vec<u8>, LoginError> {
        let signature = self.sign(hash.unwrap_or(HashAlg::Sha256), &text).ok_or(LoginError::CannotSign)?;
        signature.encode_prefixed(&mut text).map_err(|_| LoginError::CannotSign)?;
        Ok(text)
    }
}
