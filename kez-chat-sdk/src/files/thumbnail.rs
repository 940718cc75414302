//! Small pictures of images: drawn when a file is published, and drawn anew from what a peer sent before anybody sees it.

use std::{
    error::Error,
    fmt,
    io::{self, Cursor},
};

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, Rgb, RgbImage, codecs::jpeg::JpegEncoder,
    metadata::Orientation,
};
use kez_core::{
    filecrypt::{FileKey, Opener, blob_len},
    manifest,
    payload::FileEntry,
};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{
    TransferError,
    node::{Node, Plain},
    sharing::Held,
};

/// Which images get one.
const FORMATS: [ImageFormat; 4] = [ImageFormat::Gif, ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP];
/// The longest side of a thumbnail, and how long one of ours may be.
const SIDE: u32 = 256;
const MAX_OWN_BYTES: usize = 16 << 10;
/// How long another's may be.
pub(super) const MAX_FOREIGN_BYTES: u64 = 64 << 10;
/// What is tried until a thumbnail is short enough.
const QUALITIES: [u8; 4] = [80, 60, 40, 15];

/// Of a longer file there is no thumbnail.
const MAX_SOURCE_BYTES: u64 = 32 << 20;
/// What decoding a file of our own may take, and one of a peer's.
const OWN_BOUNDS: Bounds = Bounds { side: 16_384, bytes: 128 << 20 };
const FOREIGN_BOUNDS: Bounds = Bounds { side: 1_024, bytes: 8 << 20 };

/// One at a time, in the whole process: an image takes many times the memory of its file.
static DRAWING: Semaphore = Semaphore::const_new(1);

type Cause = Box<dyn Error + Send + Sync>;

/// A small picture of a published image. It was drawn here, from what its publisher sent: nothing of their bytes is in it.
///
/// ```
/// use kez_chat_sdk::Thumbnail;
///
/// let thumbnail = Thumbnail { jpeg: vec![0xff, 0xd8], width: 256, height: 171 };
/// assert_eq!(format!("{thumbnail:?}"), "Thumbnail(256 × 171, 2 bytes)", "nothing to be seen in a log");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Thumbnail {
    /// The picture, as a JPEG file without any metadata.
    pub jpeg: Vec<u8>,
    /// How many pixels it is wide.
    pub width: u32,
    /// How many pixels it is high.
    pub height: u32,
}

impl fmt::Debug for Thumbnail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbnail({} × {}, {} bytes)", self.width, self.height, self.jpeg.len())
    }
}

/// Draws a thumbnail of a file that is in the store, and seals it there under a key of its own. There is none of what is no
/// image, or too large a one.
///
/// # Errors
/// [`TransferError`], if the file can't be read or its picture not sealed.
pub(super) async fn make(node: &Node, file: &FileEntry) -> Result<Option<Held>, TransferError> {
    let format = ImageFormat::from_path(file.path.as_str());
    if file.plain_len > MAX_SOURCE_BYTES || !format.is_ok_and(|format| FORMATS.contains(&format)) {
        return Ok(None);
    }
    let Ok(_turn) = DRAWING.acquire().await else { return Ok(None) };
    let plain = node.open_bytes(file).await?;
    let drawn = spawn_blocking(move || draw(&plain, OWN_BOUNDS));
    // A decoder that panics has met no image of a common kind.
    let Ok(Ok(drawn)) = drawn.await else { return Ok(None) };
    let key = FileKey::generate(&mut rand::rng());
    let imported = node.import(Plain::Memory(drawn.jpeg.into()), &key, |_| {}).await?;
    Ok(Some(Held::new(key, imported, None)))
}

/// Opens what a peer calls a thumbnail and draws it anew.
///
/// # Errors
/// If it is not of the promised length, or no image that is as small as thumbnails are.
pub(super) async fn redraw(promised: &manifest::Thumbnail, sealed: bytes::Bytes) -> Result<Thumbnail, Cause> {
    let (key, plain_len) = (promised.key.clone(), promised.plain_len);
    spawn_blocking(move || draw(&open(&key, plain_len, &sealed)?, FOREIGN_BOUNDS)).await?
}

/// Returns how long the sealed blob of a peer's thumbnail is.
///
/// # Errors
/// If it is longer than a thumbnail may be.
pub(super) fn sealed_len(promised: &manifest::Thumbnail) -> Result<u64, Cause> {
    if promised.plain_len > MAX_FOREIGN_BYTES {
        return Err(format!("it is {} bytes long, above {MAX_FOREIGN_BYTES}", promised.plain_len).into());
    }
    Ok(blob_len(promised.plain_len)?)
}

/// Takes a thumbnail that was drawn here before.
pub(super) fn drawn_before(jpeg: Vec<u8>) -> Result<Thumbnail, Cause> {
    let (width, height) = ImageReader::new(Cursor::new(&jpeg)).with_guessed_format()?.into_dimensions()?;
    Ok(Thumbnail { jpeg, width, height })
}

fn open(key: &FileKey, plain_len: u64, sealed: &[u8]) -> Result<Vec<u8>, Cause> {
    let mut plain = Vec::new();
    let mut opener = Opener::new(key, plain_len, sealed.len() as u64)?;
    opener.update(sealed, &mut plain)?;
    // It is whole: nothing more is known of what it should be than that its key opens it.
    opener.finish(blake3::hash(&plain).as_bytes())?;
    Ok(plain)
}

/// What decoding may take.
#[derive(Clone, Copy)]
struct Bounds {
    side: u32,
    bytes: u64,
}

/// Draws a thumbnail of an image file, upright, on white. No byte of the file gets into it, nor what the file says of where
/// and by what it was made.
fn draw(file: &[u8], bounds: Bounds) -> Result<Thumbnail, Cause> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(bounds.side);
    limits.max_image_height = Some(bounds.side);
    limits.max_alloc = Some(bounds.bytes);
    let mut reader = ImageReader::new(Cursor::new(file)).with_guessed_format()?;
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    if decoder.total_bytes() > bounds.bytes {
        return Err("it has too many pixels".into());
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder)?;
    if image.width() > SIDE || image.height() > SIDE {
        image = image.thumbnail(SIDE, SIDE);
    }
    image.apply_orientation(orientation);
    encode(&on_white(&image)).map_err(Cause::from)
}

fn on_white(image: &DynamicImage) -> RgbImage {
    let image = image.to_rgba8();
    let (width, height) = image.dimensions();
    RgbImage::from_fn(width, height, |x, y| {
        let [red, green, blue, alpha] = image.get_pixel(x, y).0;
        let mix = |colour: u8| {
            let (colour, alpha) = (u32::from(colour), u32::from(alpha));
            u8::try_from((colour * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX)
        };
        Rgb([red, green, blue].map(mix))
    })
}

fn encode(image: &RgbImage) -> Result<Thumbnail, ImageError> {
    let (width, height) = image.dimensions();
    for quality in QUALITIES {
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, quality).encode_image(image)?;
        if jpeg.len() <= MAX_OWN_BYTES {
            return Ok(Thumbnail { jpeg, width, height });
        }
    }
    Err(ImageError::IoError(io::Error::other("it is too rich for a small picture")))
}

#[cfg(test)]
mod tests {
    use image::{ImageEncoder, codecs::png::PngEncoder};

    use super::*;

    fn gradient(width: u32, height: u32) -> DynamicImage {
        let colour = |x: u32, y: u32| Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, 40]);
        RgbImage::from_fn(width, height, colour).into()
    }

    fn file(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn common_images_get_a_small_picture() {
        for format in FORMATS {
            let drawn = draw(&file(&gradient(600, 300), format), OWN_BOUNDS).unwrap();
            assert_eq!((drawn.width, drawn.height), (256, 128), "{format:?}");
            assert!(drawn.jpeg.len() <= MAX_OWN_BYTES && drawn.jpeg.starts_with(&[0xff, 0xd8]));
            assert_eq!(drawn_before(drawn.jpeg.clone()).unwrap(), drawn);
        }
        let small = draw(&file(&gradient(20, 10), ImageFormat::Png), OWN_BOUNDS).unwrap();
        assert_eq!((small.width, small.height), (20, 10), "nothing is made larger");
        let noise = RgbImage::from_fn(600, 600, |_, _| Rgb(rand::random()));
        let noise = draw(&file(&noise.into(), ImageFormat::Png), OWN_BOUNDS);
        assert!(noise.is_err() || noise.unwrap().jpeg.len() <= MAX_OWN_BYTES);
    }

    #[test]
    fn what_is_transparent_is_white() {
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes).write_image(&[0; 16], 2, 2, image::ExtendedColorType::Rgba8).unwrap();
        let drawn = draw(&bytes, OWN_BOUNDS).unwrap();
        let seen = image::load_from_memory(&drawn.jpeg).unwrap().to_rgb8();
        assert!(seen.pixels().all(|pixel| pixel.0.iter().all(|&part| part > 250)), "{seen:?}");
    }

    /// A photograph as a telephone makes it: lying on its side, with where it was taken.
    #[test]
    fn a_photograph_is_set_upright_and_does_not_say_where_it_was_taken() {
        const PLACE: &[u8] = b"48 deg 51 N, 2 deg 21 E";
        let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0".to_vec();
        // Orientation: turned by a quarter.
        exif.extend_from_slice(b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0");
        // A description, which lies behind the two entries.
        exif.extend_from_slice(b"\x0e\x01\x02\0");
        exif.extend_from_slice(&u32::try_from(PLACE.len()).unwrap().to_le_bytes());
        exif.extend_from_slice(&38_u32.to_le_bytes());
        exif.extend_from_slice(&[0; 4]);
        exif.extend_from_slice(PLACE);
        let plain = file(&gradient(600, 300), ImageFormat::Jpeg);
        let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
        let photograph = [&plain[..2], &[0xff, 0xe1], &length, &exif, &plain[2..]].concat();
        let holds_place = |bytes: &[u8]| bytes.windows(PLACE.len()).any(|window| window == PLACE);
        assert!(holds_place(&photograph));

        let drawn = draw(&photograph, OWN_BOUNDS).unwrap();
        assert_eq!((drawn.width, drawn.height), (128, 256), "upright");
        assert!(!holds_place(&drawn.jpeg) && !drawn.jpeg.windows(4).any(|window| window == b"Exif"));
    }

    #[test]
    fn what_would_take_too_much_is_left_alone() {
        // A few hundred bytes that say they are a picture of two billion pixels.
        let mut bomb = file(&gradient(8, 8), ImageFormat::Png);
        bomb[16..24].copy_from_slice(&[0, 0, 0xb0, 0, 0, 0, 0xb0, 0]);
        assert!(draw(&bomb, OWN_BOUNDS).is_err());
        let wide = file(&gradient(2_000, 2), ImageFormat::Png);
        assert!(draw(&wide, OWN_BOUNDS).is_ok() && draw(&wide, FOREIGN_BOUNDS).is_err());
        for nonsense in [&b"MZ, no image"[..], b"", b"GIF89a", &[0xff, 0xd8, 0xff]] {
            assert!(draw(nonsense, OWN_BOUNDS).is_err());
        }
    }
}
