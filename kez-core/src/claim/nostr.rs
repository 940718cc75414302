//! Nostr keys: x coordinates on secp256k1 that sign by BIP-340 and are written in NIP-19's bech32.

use std::fmt;

use bech32::{Bech32, Hrp, primitives::decode::CheckedHrpstring};
use k256::schnorr::{
    self, SigningKey, VerifyingKey,
    signature::hazmat::{PrehashVerifier, RandomizedPrehashSigner},
};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{ClaimError, ClaimText, Subject};
use crate::identity::{PrimaryKey, Signature, SignatureError, Statement};

const PUBLIC_HRP: Hrp = Hrp::parse_unchecked("npub");
const SECRET_HRP: Hrp = Hrp::parse_unchecked("nsec");

/// A nostr public key: a point of secp256k1 with an even y, named by its x (BIP-340).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NostrKey(VerifyingKey);

impl NostrKey {
    /// Reads an npub in the one spelling that an encoder writes; `None` for anything else.
    pub(super) fn from_npub(text: &str) -> Option<Self> {
        VerifyingKey::from_slice(decode(PUBLIC_HRP, text)?.as_slice()).ok().map(Self)
    }

    /// Writes the key as an npub (NIP-19).
    #[must_use]
    pub fn to_npub(&self) -> String {
        // An encoder fails only for texts above bech32's length, which 32 bytes are far from.
        bech32::encode::<Bech32>(PUBLIC_HRP, &self.0.to_bytes()).unwrap_or_default()
    }

    /// Checks a signature over a claim's statement.
    pub(super) fn verify(
        &self,
        claim: &ClaimText,
        primary: &PrimaryKey,
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        self.verify_digest(&digest(claim, primary), signature)
    }

    fn verify_digest(&self, digest: &[u8; 32], signature: &Signature) -> Result<(), SignatureError> {
        schnorr::Signature::from_bytes(&signature.to_bytes())
            .and_then(|signature| self.0.verify_prehash(digest, &signature))
            .map_err(|_| SignatureError::BadSignature)
    }
}

impl fmt::Debug for NostrKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NostrKey({})", self.to_npub())
    }
}

/// A nostr secret key, entered once to make a proof and not kept. It is wiped from memory on drop and never printed.
pub struct NostrSecretKey(SigningKey);

impl NostrSecretKey {
    /// Takes the 32 bytes.
    ///
    /// # Errors
    /// [`ClaimError::BadNostrSecret`] for zero and whatever is not below the group's order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, ClaimError> {
        SigningKey::from_slice(bytes).map(Self).map_err(|_| ClaimError::BadNostrSecret)
    }

    /// Reads an `nsec1…` text (NIP-19).
    ///
    /// # Errors
    /// [`ClaimError::BadNostrSecret`], which does not repeat the text.
    pub fn from_nsec(text: &str) -> Result<Self, ClaimError> {
        Self::from_bytes(&*decode(SECRET_HRP, text).ok_or(ClaimError::BadNostrSecret)?)
    }

    /// Returns the public half.
    #[must_use]
    pub fn public(&self) -> NostrKey {
        NostrKey(*self.0.verifying_key())
    }

    /// Proves a `nostr:` claim of the holder of `primary`: the `sig` that goes into the `add_claim` op (§10).
    ///
    /// # Errors
    /// [`ClaimError`] if the claim is not a `nostr:` one or names another npub than this key's.
    pub fn prove(
        &self,
        claim: &ClaimText,
        primary: &PrimaryKey,
        rng: &mut impl CryptoRng,
    ) -> Result<Signature, ClaimError> {
        let Subject::Nostr(claimed) = Subject::of(claim)? else {
            return Err(ClaimError::OtherProof { claim: claim.to_string(), way: "a nostr key's signature" });
        };
        if claimed != self.public() {
            return Err(ClaimError::OtherNostrKey { claim: claim.to_string() });
        }
        // Fails only for a nonce of zero, once in 2^256 times; other randomness then helps.
        let signature = self.0.sign_prehash_with_rng(rng, &digest(claim, primary));
        signature
            .map(|signature| Signature::from_bytes(signature.to_bytes()))
            .map_err(|_| SignatureError::BadSignature.into())
    }
}

impl fmt::Debug for NostrSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NostrSecretKey(of {}, redacted)", self.public().to_npub())
    }
}

/// Hashes the bytes that the primary would sign for another scheme: nostr keys sign 32 bytes.
fn digest(claim: &ClaimText, primary: &PrimaryKey) -> [u8; 32] {
    Sha256::digest(Statement::Claim { claim, primary }.to_bytes()).into()
}

/// Reads 32 bytes of bech32 (BIP-173, not bech32m) under the given prefix. Only the text that an encoder writes
/// passes, in lower case and with zero padding, since claims are compared as text.
fn decode(hrp: Hrp, text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let checked = CheckedHrpstring::new::<Bech32>(text).ok()?;
    let mut bytes = Zeroizing::new([0; 32]);
    let mut source = checked.byte_iter();
    bytes.iter_mut().try_for_each(|byte| source.next().map(|next| *byte = next))?;
    // Room for all from the start: growing would leave parts of a secret behind.
    let mut canonical = Zeroizing::new(String::with_capacity(text.len()));
    bech32::encode_to_fmt::<Bech32, String>(&mut canonical, hrp, bytes.as_slice()).ok()?;
    (canonical.as_str() == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use bech32::Bech32m;
    use data_encoding::HEXUPPER;
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{error::Code, identity::SecretKey};

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        HEXUPPER.decode(text.as_bytes()).unwrap().try_into().unwrap()
    }

    fn npub(hrp: &str, bytes: &[u8]) -> String {
        bech32::encode::<Bech32>(Hrp::parse(hrp).unwrap(), bytes).unwrap()
    }

    fn secret() -> NostrSecretKey {
        NostrSecretKey::from_bytes(&[3; 32]).unwrap()
    }

    /// NIP-19's own examples.
    #[test]
    fn published_texts_are_read() {
        let npub = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg";
        let key = NostrKey::from_npub(npub).unwrap();
        assert_eq!(key.0.to_bytes()[..], hex::<32>("7E7E9C42A91BFEF19FA929E5FDA1B72E0EBC1A4C1141673E2794234D86ADDF4E"));
        assert_eq!(key.to_npub(), npub);
        let nsec = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5";
        let key = NostrSecretKey::from_nsec(nsec).unwrap();
        assert_eq!(key.0.to_bytes()[..], hex::<32>("67DEA2ED018072D675F5415ECFAED7D2597555E202D85B3D65EA4E58D2D92FFA"));
    }

    #[test]
    fn only_the_canonical_npub_is_read() {
        let key = secret().public().0.to_bytes();
        let good = npub("npub", &key);
        assert!(NostrKey::from_npub(&good).is_some());
        let mut longer = key.to_vec();
        longer.push(0);
        let mut mistyped = good.clone().into_bytes();
        mistyped[10] = if mistyped[10] == b'q' { b'p' } else { b'q' };
        for bad in [
            String::new(),
            "npub1".into(),
            good.to_uppercase(),
            format!("{good} "),
            good[..good.len() - 1].to_owned(),
            String::from_utf8(mistyped).unwrap(),
            npub("nsec", &key),
            npub("nprofile", &key),
            npub("npub", &key[..31]),
            npub("npub", &longer),
            bech32::encode::<Bech32m>(PUBLIC_HRP, &key).unwrap(),
        ] {
            assert!(NostrKey::from_npub(&bad).is_none(), "{bad}");
        }
    }

    /// 32 bytes leave four bits of padding in bech32, which a second spelling could use.
    #[test]
    fn an_npub_has_no_second_spelling() {
        use bech32::primitives::{gf32::Fe32, iter::Fe32IterExt};
        let good = secret().public().to_npub();
        let checked = CheckedHrpstring::new::<Bech32>(&good).unwrap();
        let mut data: Vec<Fe32> = checked.fe32_iter::<std::iter::Empty<u8>>().collect();
        let respelt =
            |data: &[Fe32]| data.iter().copied().with_checksum::<Bech32>(&PUBLIC_HRP).chars().collect::<String>();
        assert_eq!(respelt(&data), good);
        let last = data.last_mut().unwrap();
        *last = Fe32::try_from(last.to_u8() | 1).unwrap();
        let other = respelt(&data);
        assert!(CheckedHrpstring::new::<Bech32>(&other).is_ok() && other != good);
        assert!(NostrKey::from_npub(&other).is_none());
    }

    #[test]
    fn secrets_outside_the_group_are_refused_and_not_shown() {
        let order = hex("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141");
        for bad in [[0; 32], order, [0xff; 32]] {
            assert_eq!(NostrSecretKey::from_bytes(&bad).unwrap_err().code(), Code::BadKey);
        }
        let key = secret();
        for bad in ["nsec1", "", &key.public().to_npub()] {
            assert_eq!(NostrSecretKey::from_nsec(bad).unwrap_err(), ClaimError::BadNostrSecret);
        }
        assert_eq!(format!("{key:?}"), format!("NostrSecretKey(of {}, redacted)", key.public().to_npub()));
    }

    #[test]
    fn a_proof_is_for_one_claim_of_one_key() {
        let mut rng = StdRng::seed_from_u64(1);
        let [alice, bob] = [1, 2].map(|seed| SecretKey::from_seed([seed; 32]).primary());
        let claim: ClaimText = format!("nostr:{}", secret().public().to_npub()).parse().unwrap();
        let signature = secret().prove(&claim, &alice, &mut rng).unwrap();
        let again = secret().prove(&claim, &alice, &mut rng).unwrap();
        assert_ne!(signature, again, "the randomness goes in");
        for proof in [signature, again] {
            assert_eq!(secret().public().verify(&claim, &alice, &proof), Ok(()));
            assert_eq!(secret().public().verify(&claim, &bob, &proof), Err(SignatureError::BadSignature));
        }
        let other = NostrSecretKey::from_bytes(&[4; 32]).unwrap();
        assert!(matches!(other.prove(&claim, &alice, &mut rng), Err(ClaimError::OtherNostrKey { .. })));
        assert!(other.public().verify(&claim, &alice, &signature).is_err());
        let dns: ClaimText = "dns:kez.lat".parse().unwrap();
        assert!(matches!(secret().prove(&dns, &alice, &mut rng), Err(ClaimError::OtherProof { .. })));
    }

    #[test]
    fn any_flipped_bit_fails() {
        let primary = SecretKey::from_seed([1; 32]).primary();
        let claim: ClaimText = format!("nostr:{}", secret().public().to_npub()).parse().unwrap();
        let proof = secret().prove(&claim, &primary, &mut StdRng::seed_from_u64(1)).unwrap().to_bytes();
        for bit in 0..512 {
            let mut bad = proof;
            bad[bit / 8] ^= 1 << (bit % 8);
            let verdict = secret().public().verify(&claim, &primary, &Signature::from_bytes(bad));
            assert_eq!(verdict, Err(SignatureError::BadSignature), "bit {bit}");
        }
    }

    /// The verification cases for messages of 32 bytes of BIP-340's test-vectors.csv, by their index there.
    #[test]
    fn bip_340_vectors() {
        const KEY: &str = "DFF1D77F2A671C5F36183726DB2341BE58FEAE1DA2DECED843240F7B502BA659";
        const DIGEST: &str = "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89";
        for (index, key, digest, r, s, valid) in [
            (
                0,
                "F9308A019258C31049344F85F89D5229B531C845836F99B08601F113BCE036F9",
                "0000000000000000000000000000000000000000000000000000000000000000",
                "E907831F80848D1069A5371B402410364BDF1C5F8307B0084C55F1CE2DCA8215",
                "25F66A4A85EA8B71E482A74F382D2CE5EBEEE8FDB2172F477DF4900D310536C0",
                true,
            ),
            (
                1,
                KEY,
                DIGEST,
                "6896BD60EEAE296DB48A229FF71DFE071BDE413E6D43F917DC8DCF8C78DE3341",
                "8906D11AC976ABCCB20B091292BFF4EA897EFCB639EA871CFA95F6DE339E4B0A",
                true,
            ),
            (
                2,
                "DD308AFEC5777E13121FA72B9CC1B7CC0139715309B086C960E18FD969774EB8",
                "7E2D58D8B3BCDF1ABADEC7829054F90DDA9805AAB56C77333024B9D0A508B75C",
                "5831AAEED7B44BB74E5EAB94BA9D4294C49BCF2A60728D8B4C200F50DD313C1B",
                "AB745879A5AD954A72C45A91C3A51D3C7ADEA98D82F8481E0E1E03674A6F3FB7",
                true,
            ),
            (
                3,
                "25D1DFF95105F5253C4022F628A996AD3A0D95FBF21D468A1B33F8C160D8F517",
                "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
                "7EB0509757E246F19449885651611CB965ECC1A187DD51B64FDA1EDC9637D5EC",
                "97582B9CB13DB3933705B32BA982AF5AF25FD78881EBB32771FC5922EFC66EA3",
                true,
            ),
            (
                4,
                "D69C3509BB99E412E68B0FE8544E72837DFA30746D8BE2AA65975F29D22DC7B9",
                "4DF3C3F68FCC83B27E9D42C90431A72499F17875C81A599B566C9889B9696703",
                "00000000000000000000003B78CE563F89A0ED9414F5AA28AD0D96D6795F9C63",
                "76AFB1548AF603B3EB45C9F8207DEE1060CB71C04E80F593060B07D28308D7F4",
                true,
            ),
            (
                6,
                KEY,
                DIGEST,
                "FFF97BD5755EEEA420453A14355235D382F6472F8568A18B2F057A1460297556",
                "3CC27944640AC607CD107AE10923D9EF7A73C643E166BE5EBEAFA34B1AC553E2",
                false,
            ),
            (
                7,
                KEY,
                DIGEST,
                "1FA62E331EDBC21C394792D2AB1100A7B432B013DF3F6FF4F99FCB33E0E1515F",
                "28890B3EDB6E7189B630448B515CE4F8622A954CFE545735AAEA5134FCCDB2BD",
                false,
            ),
            (
                8,
                KEY,
                DIGEST,
                "6CFF5C3BA86C69EA4B7376F31A9BCB4F74C1976089B2D9963DA2E5543E177769",
                "961764B3AA9B2FFCB6EF947B6887A226E8D7C93E00C5ED0C1834FF0D0C2E6DA6",
                false,
            ),
            (
                9,
                KEY,
                DIGEST,
                "0000000000000000000000000000000000000000000000000000000000000000",
                "123DDA8328AF9C23A94C1FEECFD123BA4FB73476F0D594DCB65C6425BD186051",
                false,
            ),
            (
                10,
                KEY,
                DIGEST,
                "0000000000000000000000000000000000000000000000000000000000000001",
                "7615FBAF5AE28864013C099742DEADB4DBA87F11AC6754F93780D5A1837CF197",
                false,
            ),
            (
                11,
                KEY,
                DIGEST,
                "4A298DACAE57395A15D0795DDBFD1DCB564DA82B0F269BC70A74F8220429BA1D",
                "69E89B4C5564D00349106B8497785DD7D1D713A8AE82B32FA79D5F7FC407D39B",
                false,
            ),
            (
                12,
                KEY,
                DIGEST,
                "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F",
                "69E89B4C5564D00349106B8497785DD7D1D713A8AE82B32FA79D5F7FC407D39B",
                false,
            ),
            (
                13,
                KEY,
                DIGEST,
                "6CFF5C3BA86C69EA4B7376F31A9BCB4F74C1976089B2D9963DA2E5543E177769",
                "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141",
                false,
            ),
        ] {
            let key: [u8; 32] = hex(key);
            let signature = Signature::from_bytes([hex::<32>(r), hex::<32>(s)].concat().try_into().unwrap());
            let verdict = NostrKey::from_npub(&npub("npub", &key))
                .is_some_and(|key| key.verify_digest(&hex(digest), &signature).is_ok());
            assert_eq!(verdict, valid, "case {index}");
        }
        for (index, off_curve) in [
            (5, "EEFDEA4CDB677750A420FEE807EACF21EB9898AE79B9768766E4FAA04A2D4A34"),
            (14, "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC30"),
        ] {
            assert!(NostrKey::from_npub(&npub("npub", &hex::<32>(off_curve))).is_none(), "case {index}");
        }
    }

    proptest! {
        #[test]
        fn any_changed_character_is_noticed(at in 0usize..63, other in "[a-zA-Z0-9 ]") {
            let good = secret().public().to_npub();
            let changed = format!("{}{other}{}", &good[..at], &good[at + 1..]);
            prop_assert_eq!(NostrKey::from_npub(&changed).is_some(), changed == good);
        }
    }
}
