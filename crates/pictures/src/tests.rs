//! Files of every kind, made here.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

use crate::{Error, MAX_BYTES, MAX_SIDE, Mask, Picture, Pool, decode_in, decoded_bytes, fit, fit_mask, pad};

async fn decode(file: &[u8]) -> Result<Picture, Error> {
    decode_in(&Pool::new(0), "x", file.to_vec(), Ok).await
}

async fn pixels(file: &[u8]) -> RgbImage {
    decode(file).await.unwrap().pixels
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.into().write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// Red on the left, blue on the right.
fn halves(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| if x < width / 2 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) })
}

fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(u32::MAX, step)
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [name.as_slice(), data].concat();
    [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], &body, &crc(&body).to_be_bytes()].concat()
}

/// A PNG of a colour type and depth out of unfiltered rows, in a stored zlib stream.
fn png(size: (u32, u32), depth: u8, colour: u8, extra: &[Vec<u8>], rows: &[Vec<u8>]) -> Vec<u8> {
    let raw: Vec<u8> = rows.iter().flat_map(|row| std::iter::once(0).chain(row.iter().copied())).collect();
    let len = u16::try_from(raw.len()).unwrap();
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in &raw {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    let sum = (b << 16 | a).to_be_bytes();
    let zlib = [&[0x78, 1, 1][..], &len.to_le_bytes(), &(!len).to_le_bytes(), &raw, &sum].concat();
    let header = [&size.0.to_be_bytes()[..], &size.1.to_be_bytes(), &[depth, colour, 0, 0, 0]].concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    file.extend(chunk(b"IHDR", &header));
    extra.iter().for_each(|chunk| file.extend(chunk));
    file.extend(chunk(b"IDAT", &zlib));
    file.extend(chunk(b"IEND", &[]));
    file
}

#[tokio::test]
async fn the_three_formats_are_read() {
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let picture = decode(&encoded(halves(8, 4), format)).await.unwrap();
        assert_eq!(picture, Picture { pixels: halves(8, 4), mask: None });
    }
    let jpeg = pixels(&encoded(RgbImage::from_pixel(8, 8, Rgb([9, 99, 199])), ImageFormat::Jpeg)).await;
    assert!(jpeg.get_pixel(4, 4).0.iter().zip([9, 99, 199]).all(|(a, b)| a.abs_diff(b) < 4));
}

#[tokio::test]
async fn a_palette_with_alpha_is_converted() {
    let palette = chunk(b"PLTE", &[255, 0, 0, 0, 255, 0, 0, 0, 255]);
    let alpha = chunk(b"tRNS", &[255, 0, 128]);
    let file = png((3, 1), 8, 3, &[palette, alpha], &[vec![0, 1, 2]]);
    let image = decode(&file).await.unwrap();
    assert_eq!(
        image.pixels.pixels().map(|pixel| pixel.0).collect::<Vec<_>>(),
        [[255, 0, 0], [255, 255, 255], [127, 127, 255]]
    );
    assert_eq!(image.mask.unwrap().kept, [1, 0, 1]);
}

#[tokio::test]
async fn greys_and_16_bits_are_converted() {
    let image = pixels(&png((2, 1), 1, 0, &[], &[vec![0b0100_0000]])).await;
    assert_eq!((image.get_pixel(0, 0).0, image.get_pixel(1, 0).0), ([0; 3], [255; 3]));
    let wide = png((1, 1), 16, 6, &[], &[vec![0xff, 0xff, 0x80, 0x80, 0, 0, 0xff, 0xff]]);
    assert_eq!(pixels(&wide).await.get_pixel(0, 0).0, [255, 128, 0]);
}

#[tokio::test]
async fn the_first_frame_of_an_animation_counts() {
    // The default picture is the first frame: its frame control comes before IDAT.
    let control =
        [&0_u32.to_be_bytes()[..], &1_u32.to_be_bytes(), &1_u32.to_be_bytes(), &[0; 8], &[0, 1, 0, 1, 0, 0]];
    let animation = chunk(b"acTL", &[0, 0, 0, 1, 0, 0, 0, 0]);
    let file = png((1, 1), 8, 2, &[animation, chunk(b"fcTL", &control.concat())], &[vec![1, 2, 3]]);
    assert_eq!(pixels(&file).await.get_pixel(0, 0).0, [1, 2, 3]);

    let still = |colour| encoded(RgbImage::from_pixel(2, 2, Rgb(colour)), ImageFormat::WebP)[12..].to_vec();
    let riff = |name: &[u8], data: &[u8]| {
        [name, &u32::try_from(data.len()).unwrap().to_le_bytes(), data, &vec![0; data.len() % 2]].concat()
    };
    // A frame: place, size less one, duration, flags, then the picture's own chunk.
    let frame = |colour| {
        let head = [[0; 6], [1, 0, 0, 1, 0, 0]].concat();
        riff(b"ANMF", &[&head[..], &[100, 0, 0, 0], &still(colour)].concat())
    };
    let body = [
        b"WEBP".to_vec(),
        riff(b"VP8X", &[2, 0, 0, 0, 1, 0, 0, 1, 0, 0]),
        riff(b"ANIM", &[255, 255, 255, 255, 0, 0]),
        frame([200, 0, 0]),
        frame([0, 200, 0]),
    ];
    let image = pixels(&riff(b"RIFF", &body.concat())).await;
    // The decoder blends frames, which may cost a last digit.
    assert!(image.get_pixel(1, 1).0.iter().zip([200, 0, 0]).all(|(a, b)| a.abs_diff(b) <= 1));
}

/// A JPEG of one block of the middle value in each of four channels, with Adobe's mark for CMYK.
fn cmyk() -> Vec<u8> {
    let segment = |marker: u8, data: &[u8]| {
        [&[0xff, marker][..], &u16::try_from(data.len() + 2).unwrap().to_be_bytes(), data].concat()
    };
    let table = |class: u8| [&[class][..], &[1], &[0; 15], &[0]].concat();
    let frame = [&[8, 0, 8, 0, 8, 4][..], &[1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0]].concat();
    [
        vec![0xff, 0xd8],
        segment(0xee, b"Adobe\x00\x64\x00\x00\x00\x00\x00"),
        segment(0xdb, &[&[0][..], &[1; 64]].concat()),
        segment(0xc0, &frame),
        segment(0xc4, &[table(0), table(0x10)].concat()),
        segment(0xda, &[4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0]),
        vec![0x00, 0xff, 0xd9],
    ]
    .concat()
}

#[tokio::test]
async fn cmyk_is_converted() {
    let image = pixels(&cmyk()).await;
    assert_eq!(image.dimensions(), (8, 8));
    assert!(
        image.get_pixel(3, 3).0.iter().all(|value| value.abs_diff(64) <= 2),
        "{:?}",
        image.get_pixel(3, 3)
    );
}

/// The JPEG file with an EXIF segment that says how it lies.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let tiff = [
        &b"Exif\0\0II*\0\x08\0\0\0"[..],
        &[1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0, 0, 0, 0, 0],
    ];
    let tiff = tiff.concat();
    let len = u16::try_from(tiff.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &len, &tiff, &jpeg[2..]].concat()
}

#[tokio::test]
async fn exif_orientation_is_applied() {
    let jpeg = encoded(halves(32, 16), ImageFormat::Jpeg);
    assert_eq!(pixels(&with_orientation(&jpeg, 1)).await.dimensions(), (32, 16));
    // 6: turned a quarter to the right, so what was left is on top.
    let turned = pixels(&with_orientation(&jpeg, 6)).await;
    assert_eq!(turned.dimensions(), (16, 32));
    assert!(turned.get_pixel(8, 4).0[0] > 200 && turned.get_pixel(8, 28).0[2] > 200);
}

#[tokio::test]
async fn bad_files_are_refused() {
    let good = encoded(halves(64, 64), ImageFormat::Png);
    let bomb = png((20_000, 20_000), 8, 2, &[], &[vec![0; 100]]);
    let cases: [(&[u8], &str); 8] = [
        (b"", "x: no readable picture (0 bytes)"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "x: no readable picture"),
        (b"GIF89a\x01\0\x01\0\0\0\0", "x: no readable picture"),
        (b"{\"not\": \"a picture\"}", "x: no readable picture"),
        (&good[..good.len() / 2], "x: no readable picture"),
        (
            &encoded(halves(MAX_SIDE + 1, 1), ImageFormat::Png),
            "x: the picture is too large, at most 4096 x 4096",
        ),
        (&bomb, "x: the picture is too large, at most 4096 x 4096"),
        (&vec![0; MAX_BYTES + 1], "x: 20971521 bytes, at most 20971520"),
    ];
    for (file, expected) in cases {
        let text = decode(file).await.unwrap_err().to_string();
        assert!(text.starts_with(expected), "{text}");
    }
    let jpeg = encoded(halves(64, 64), ImageFormat::Jpeg);
    // A JPEG that ends early may be shown as far as it goes, but must not panic.
    drop(decode(&jpeg[..jpeg.len() / 2]).await);
    assert!(decode(&jpeg[..20]).await.is_err());
}

#[test]
fn a_picture_is_cut_in_its_middle() {
    assert_eq!(fit(&halves(8, 8), 8, 8), halves(8, 8));
    let small = fit(&halves(40, 20), 10, 10);
    assert_eq!((small.get_pixel(0, 5).0, small.get_pixel(9, 5).0), ([255, 0, 0], [0, 0, 255]));
    assert_eq!(fit(&halves(3, 1000), 5, 7).dimensions(), (5, 7));
}

#[test]
fn a_mask_keeps_a_pixel_only_where_all_below_it_is_kept() {
    let mut image = RgbaImage::from_pixel(8, 8, Rgba([0, 0, 0, 1]));
    assert!(Mask::of(&image).keeps_all());
    image.put_pixel(5, 2, Rgba([9, 9, 9, 0]));
    let mask = Mask::of(&image);
    assert!(!mask.keeps_all() && !mask.keeps_none());
    assert_eq!(fit_mask(&mask, 8, 8), mask);
    let small = fit_mask(&mask, 4, 4);
    assert_eq!(small.kept.iter().position(|kept| *kept == 0), Some(4 + 2));
    assert_eq!(small.kept.iter().filter(|kept| **kept == 0).count(), 1);
    let large = fit_mask(&mask, 16, 16);
    assert_eq!(large.kept.iter().filter(|kept| **kept == 0).count(), 4);
}

#[test]
fn a_white_mask_is_read_by_its_brightness() {
    let grey = RgbImage::from_fn(4, 1, |x, _| Rgb([u8::try_from(x * 85).unwrap(); 3]));
    assert_eq!(Mask::of_white(&grey).kept, [1, 1, 0, 0]);
}

#[test]
fn what_decoding_takes_is_known_from_the_head() {
    let bytes = |file: &[u8]| decoded_bytes("x", file).unwrap();
    // A bomb: hardly a file, and no pixel of it is read.
    let bomb = png((4096, 4096), 8, 6, &[], &[vec![0; 100]]);
    assert!(bomb.len() < 300);
    assert_eq!(bytes(&bomb), 4096 * 4096 * (4 + 7));
    let deep = png((4096, 4096), 16, 6, &[], &[vec![0; 100]]);
    assert_eq!(bytes(&deep), crate::MIN_BUDGET, "the largest picture has room alone");
    let jpeg = encoded(halves(64, 64), ImageFormat::Jpeg);
    assert_eq!(bytes(&jpeg), 64 * 64 * (3 + 7 + 6) + jpeg.len() as u64);
}

/// Pillow's numbers; `tests/goldens/make.py` made them.
#[test]
fn a_padded_picture_is_pillows() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let read = |name: &str| image::open(folder.join(name)).unwrap().into_rgb8();
    let source = read("source.png");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(size) = name.strip_prefix("padded-").and_then(|rest| rest.strip_suffix(".png")) else {
            continue;
        };
        let (width, height) = size.split_once('x').unwrap();
        let found = pad(&source, width.parse().unwrap(), height.parse().unwrap());
        assert_eq!(found, read(&name), "{size}");
        count += 1;
    }
    assert_eq!(count, 6);
}
