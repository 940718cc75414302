//! Seal and open of 1 KiB, beside HPKE (RFC 9180) in its Auth mode, which neither signs nor hides the sender.

use criterion::Criterion;
use hpke::{
    Kem as _, OpModeR, OpModeS, aead::ChaCha20Poly1305, kdf::HkdfSha256, kem::X25519HkdfSha256, single_shot_open,
    single_shot_seal_with_rng,
};
use kez_core::{
    envelope::{Opened, Peer, open, seal},
    identity::SecretKey,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::measure::{Comparison, Ratio, Work};

const MESSAGE: [u8; 1024] = [b'm'; 1024];

pub(crate) fn seal_and_open(criterion: &mut Criterion) -> Ratio {
    let (ours, peer) = (Ours::new(), Hpke::new());
    let wire = ours.seal(&mut StdRng::seed_from_u64(1));
    let sealed = peer.seal(&mut StdRng::seed_from_u64(1));
    let mut rng = StdRng::seed_from_u64(2);
    Work::new(|| ours.seal(&mut rng)).measure(criterion, "envelope_seal_1kib", "kez");
    Work::new(|| peer.seal(&mut rng)).measure(criterion, "envelope_seal_1kib", "hpke_auth");
    Work::new(|| ours.open(&wire)).measure(criterion, "envelope_open_1kib", "kez");
    Work::new(|| peer.open(&sealed)).measure(criterion, "envelope_open_1kib", "hpke_auth");

    let (mut our_rng, mut peer_rng) = (StdRng::seed_from_u64(3), StdRng::seed_from_u64(3));
    let mut both = Comparison {
        ours: Work::new(|| ours.open(&ours.seal(&mut our_rng))),
        peer: Work::new(|| peer.open(&peer.seal(&mut peer_rng))),
    };
    ("envelope_seal_open_1kib_vs_hpke_auth", both.ratio())
}

/// Two people who have written to each other before.
struct Ours {
    sender: SecretKey,
    recipient: SecretKey,
    to: Peer,
    from: Peer,
}

impl Ours {
    fn new() -> Self {
        let (sender, recipient) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let (to, from) = (Peer::new(&sender, recipient.primary()), Peer::new(&recipient, sender.primary()));
        Self { sender, recipient, to, from }
    }

    fn seal(&self, rng: &mut StdRng) -> Vec<u8> {
        let mut random = [0; 32];
        rng.fill_bytes(&mut random);
        seal(&self.sender, &self.to, &MESSAGE, &random).unwrap()
    }

    fn open(&self, wire: &[u8]) -> Opened {
        open(&self.recipient, wire, |_| Some(self.from.clone())).unwrap()
    }
}

type Kem = X25519HkdfSha256;
type Encapped = <Kem as hpke::Kem>::EncappedKey;

struct Hpke {
    to: <Kem as hpke::Kem>::PublicKey,
    recipient: <Kem as hpke::Kem>::PrivateKey,
    sending: OpModeS<'static, Kem>,
    receiving: OpModeR<'static, Kem>,
}

impl Hpke {
    fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(4);
        let (sender, from) = Kem::gen_keypair_with_rng(&mut rng);
        let (recipient, to) = Kem::gen_keypair_with_rng(&mut rng);
        Self { to, recipient, sending: OpModeS::Auth((sender, from.clone())), receiving: OpModeR::Auth(from) }
    }

    fn seal(&self, rng: &mut StdRng) -> (Encapped, Vec<u8>) {
        single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &self.sending,
            &self.to,
            b"kez-benches",
            &MESSAGE,
            &[],
            rng,
        )
        .unwrap()
    }

    fn open(&self, (encapped, sealed): &(Encapped, Vec<u8>)) -> Vec<u8> {
        single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &self.receiving,
            &self.recipient,
            encapped,
            b"kez-benches",
            sealed,
            &[],
        )
        .unwrap()
    }
}
