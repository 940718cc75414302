//! HKDF-SHA256 (RFC 5869) as the protocol writes it: outputs of a fixed, known length.

use hkdf::{Hkdf, HkdfExtract};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

/// Derives `N` bytes: `HKDF(salt, ikm, info)`, with the parts of `info` joined.
pub(crate) fn hkdf<const N: usize>(salt: &[u8], ikm: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; N]> {
    expand_with(&Hkdf::<Sha256>::new(Some(salt), ikm), info)
}

/// Many derivations with the same salt, which is taken in once.
pub(crate) struct Salted(HkdfExtract<Sha256>);

impl Salted {
    pub(crate) fn new(salt: &[u8]) -> Self {
        Self(HkdfExtract::new(Some(salt)))
    }

    /// Does what [`hkdf`] does.
    pub(crate) fn hkdf<const N: usize>(&self, ikm: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; N]> {
        let mut extract = self.0.clone();
        extract.input_ikm(ikm);
        let (mut key, hkdf) = extract.finalize();
        key.as_mut_slice().zeroize();
        expand_with(&hkdf, info)
    }
}

/// Derives `N` bytes from a key that is uniform already: `HKDF-Expand(key, info)`.
pub(crate) fn expand<const N: usize>(key: &[u8; 32], info: &[u8]) -> Zeroizing<[u8; N]> {
    match Hkdf::<Sha256>::from_prk(key) {
        Ok(hkdf) => expand_with(&hkdf, &[info]),
        Err(_) => unreachable!("32 bytes are the length of a SHA-256 pseudorandom key"),
    }
}

fn expand_with<const N: usize>(hkdf: &Hkdf<Sha256>, info: &[&[u8]]) -> Zeroizing<[u8; N]> {
    const { assert!(N <= 255 * 32, "HKDF-SHA256 yields at most 8,160 bytes") }
    let mut out = Zeroizing::new([0; N]);
    match hkdf.expand_multi_info(info, out.as_mut_slice()) {
        Ok(()) => out,
        Err(_) => unreachable!("the length was checked when this was compiled"),
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// RFC 5869, appendix A.1.
    #[test]
    fn agrees_with_the_rfc() {
        let ikm = [0x0b; 22];
        let salt = HEXLOWER.decode(b"000102030405060708090a0b0c").unwrap();
        let info = HEXLOWER.decode(b"f0f1f2f3f4f5f6f7f8f9").unwrap();
        let out: Zeroizing<[u8; 42]> = hkdf(&salt, &ikm, &[&info[..4], &info[4..]]);
        assert_eq!(out, Salted::new(&salt).hkdf(&ikm, &[&info]));
        assert_eq!(
            HEXLOWER.encode(&*out),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        );
    }
}
