//! Randomness that a case lists.

use std::convert::Infallible;

use kez_core::rand_core::{TryCryptoRng, TryRng};

/// Gives out listed bytes in their order, and panics when more are asked for.
pub(super) struct Replay(Vec<u8>);

impl Replay {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Tells whether all bytes were asked for.
    pub(super) fn is_spent(&self) -> bool {
        self.0.is_empty()
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let Ok(()) = self.try_fill_bytes(&mut out);
        out
    }
}

impl TryRng for Replay {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.take()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.take()))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        assert!(out.len() <= self.0.len(), "the case lists too little randomness");
        out.copy_from_slice(&self.0[..out.len()]);
        self.0.drain(..out.len());
        Ok(())
    }
}

impl TryCryptoRng for Replay {}

#[test]
#[should_panic(expected = "too little randomness")]
fn no_byte_is_made_up() {
    let mut replay = Replay::new(vec![1, 2, 3, 4, 5]);
    assert_eq!(replay.try_next_u32(), Ok(0x0403_0201));
    let _ = replay.try_next_u32();
}
