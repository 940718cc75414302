//! Padding: a message's length tells only its bucket (§6).
//!
//! Buckets are those of Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and
//! Communication with PURBs", 2019), which leak O(log log L) bits for at most 12 % of overhead.

use zeroize::Zeroizing;

/// The smallest bucket, in bytes.
pub(super) const MIN_PADDED_BYTES: usize = 256;
/// The largest bucket, in bytes.
pub const MAX_PADDED_BYTES: usize = 63_488;

const MARK: u8 = 0x80;

/// Pads a payload to its bucket: a mark, then zeros. `None` if it is above the largest one.
pub(super) fn pad(payload: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let len = padded_len(payload.len())?;
    let mut padded = Zeroizing::new(Vec::with_capacity(len));
    padded.extend_from_slice(payload);
    padded.push(MARK);
    padded.resize(len, 0);
    Some(padded)
}

/// Finds the payload again; `None` unless the padding is exactly what [`pad`] makes.
pub(super) fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let end = padded.iter().rposition(|&byte| byte != 0)?;
    let payload = padded.get(..end)?;
    (padded[end] == MARK && padded_len(payload.len()) == Some(padded.len())).then_some(payload)
}

fn padded_len(payload_len: usize) -> Option<usize> {
    let len = padme(payload_len.checked_add(1)?).max(MIN_PADDED_BYTES);
    (len <= MAX_PADDED_BYTES).then_some(len)
}

/// Rounds up to a length whose binary form is as short as a floating-point number's of that size.
fn padme(len: usize) -> usize {
    if len < MIN_PADDED_BYTES {
        return len;
    }
    let exponent = len.ilog2();
    let significant = exponent.ilog2() + 1;
    len.next_multiple_of(1 << (exponent - significant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets() {
        for (payload, padded) in
            [(0, 256), (255, 256), (256, 272), (271, 272), (272, 288), (511, 512), (512, 544), (63_487, 63_488)]
        {
            assert_eq!(padded_len(payload), Some(padded), "{payload}");
        }
        assert_eq!(padded_len(63_488), None);
        assert_eq!(padded_len(usize::MAX), None);
    }

    #[test]
    fn few_buckets_hold_all_lengths() {
        let buckets: Vec<usize> = (0..MAX_PADDED_BYTES).map(|len| padded_len(len).unwrap()).collect();
        assert!(buckets.is_sorted());
        assert!(buckets.iter().enumerate().all(|(len, &padded)| len < padded));
        // At most 12 % more than what is padded, beyond the smallest bucket.
        assert!((256..).zip(&buckets[256..]).all(|(len, &padded)| (padded - len - 1) * 100 <= (len + 1) * 12));
        let mut distinct = buckets;
        distinct.dedup();
        assert_eq!(distinct.len(), 1 + 7 * 16 + 15, "sixteen an octave, the last one cut short");
    }

    #[test]
    fn only_exact_padding_is_taken() {
        assert_eq!(unpad(&pad(b"abc\x80\0").unwrap()), Some(b"abc\x80\0".as_slice()));
        let mut short = vec![0; 256];
        assert_eq!(unpad(&short), None);
        short[3] = 1;
        assert_eq!(unpad(&short), None);
        short[3] = MARK;
        assert_eq!(unpad(&short).map(<[u8]>::len), Some(3));
        short.resize(272, 0);
        assert_eq!(unpad(&short), None);
        assert_eq!(unpad(&[]), None);
    }
}
