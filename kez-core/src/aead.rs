//! ChaCha20-Poly1305 (RFC 8439) under keys that are used once, with a nonce of zeros.

use chacha20poly1305::{
    AeadInOut, ChaCha20Poly1305, KeyInit, Nonce, Tag,
    aead::{Buffer, inout::InOutBuf},
};
use zeroize::Zeroizing;

/// What the cipher adds to a plaintext, in bytes.
pub(crate) const TAG_BYTES: usize = 16;

/// Encrypts under a key that encrypts nothing else.
pub(crate) fn seal_once(key: &[u8; 32], plain: &[u8], aad: &[u8]) -> Vec<u8> {
    // Room for the tag from the start: growing would leave a copy of the plaintext behind.
    let mut buffer = Vec::with_capacity(plain.len() + TAG_BYTES);
    buffer.extend_from_slice(plain);
    match ChaCha20Poly1305::new(key.into()).encrypt_in_place(&Nonce::default(), aad, &mut buffer) {
        Ok(()) => buffer,
        Err(_) => unreachable!("what is sealed here is far below the cipher's limit of 256 GiB"),
    }
}

/// Decrypts what [`seal_once`] made; `None` if it was changed.
pub(crate) fn open_once(key: &[u8; 32], sealed: &[u8], aad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let plain: &mut dyn Buffer = &mut *buffer;
    ChaCha20Poly1305::new(key.into()).decrypt_in_place(&Nonce::default(), aad, plain).ok()?;
    Some(buffer)
}

/// Does what [`seal_once`] does, into a place that is a tag longer than the plaintext.
pub(crate) fn seal_once_into(key: &[u8; 32], plain: &[u8], aad: &[u8], sealed: &mut [u8]) {
    let (body, place) = sealed.split_at_mut(plain.len());
    let cipher = ChaCha20Poly1305::new(key.into());
    let tag = InOutBuf::new(plain, body)
        .ok()
        .and_then(|buffer| cipher.encrypt_inout_detached(&Nonce::default(), aad, buffer).ok());
    match tag {
        Some(tag) => place.copy_from_slice(&tag),
        None => unreachable!("both places have one length, far below the cipher's limit of 256 GiB"),
    }
}

/// Does what [`open_once`] does, into a place that is a tag shorter; nothing is written if it was changed.
pub(crate) fn open_once_into(key: &[u8; 32], sealed: &[u8], aad: &[u8], plain: &mut [u8]) -> Option<()> {
    let (body, tag) = sealed.split_last_chunk::<TAG_BYTES>()?;
    let buffer = InOutBuf::new(body, plain).ok()?;
    let cipher = ChaCha20Poly1305::new(key.into());
    cipher.decrypt_inout_detached(&Nonce::default(), aad, buffer, &Tag::from(*tag)).ok()
}
