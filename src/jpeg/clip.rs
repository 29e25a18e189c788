//! A file of JPEG images.

use std::fmt;

use bytes::Bytes;

use super::{Frame, JpegError};

/// An MJPEG clip: at least one frame, all of them fit for RTP, sharing the bytes they were read from.
#[derive(Clone)]
pub struct Clip {
    frames: Vec<Frame>,
}

/// The frame of a clip that cannot be sent, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame {frame}: {reason}")]
pub struct ClipError {
    /// Which frame, counted from 1.
    pub frame: usize,
    /// What is wrong with it.
    pub reason: JpegError,
}

impl Clip {
    /// The most frames a clip may have: 11 hours at 24 frames per second. An index entry is about 90 bytes.
    pub const MAX_FRAMES: usize = 1_000_000;

    /// How many frames per second [`Clip::demo`] was drawn for.
    pub const DEMO_FPS: u32 = 15;

    /// Reads a clip in either of two forms:
    ///
    /// - plain: JPEG images one after the other, as `ffmpeg -f mjpeg` writes them. Up to 64 KiB of other bytes may
    ///   stand around each image (the part headers of a saved HTTP stream) and any number of zeros (padding);
    /// - length-prefixed: 5 ASCII digits, then as many bytes of JPEG, repeated: the `movie.Mjpeg` of the RTSP exercise
    ///   in Kurose and Ross, *Computer Networking*. Fewer or more digits and blanks around them are taken, too.
    ///
    /// Nothing is copied; the frames are slices of `data`.
    ///
    /// # Errors
    ///
    /// At the first frame that is damaged or that RFC 2435 cannot carry, and for a clip without frames.
    pub fn parse(data: Bytes) -> Result<Self, ClipError> {
        let prefixed = data.trim_ascii_start().first().is_some_and(u8::is_ascii_digit);
        let mut rest = data;
        let mut frames = Vec::new();
        loop {
            let next = if prefixed { next_prefixed(&mut rest) } else { next_plain(&mut rest) };
            let fail = |reason| ClipError { frame: frames.len() + 1, reason };
            match next.map_err(fail)? {
                None if frames.is_empty() => return Err(fail(JpegError::Empty)),
                None => return Ok(Self { frames }),
                Some(_) if frames.len() == Self::MAX_FRAMES => {
                    return Err(fail(JpegError::TooManyFrames(Self::MAX_FRAMES)));
                }
                Some(frame) => frames.push(frame),
            }
        }
    }

    /// The bundled clip: 120 frames of 640x360, for [`Clip::DEMO_FPS`] frames per second; `tests/make-demo-clip` draws
    /// it.
    pub fn demo() -> Self {
        Self::parse(Bytes::from_static(include_bytes!("../demo.mjpeg")))
            .expect("a test reads the clip that is compiled in")
    }

    /// The frames in order, at least one.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }
}

/// How many frames: the index itself would be too long to read.
impl fmt::Debug for Clip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clip").field("frames", &self.frames.len()).finish_non_exhaustive()
    }
}

/// How many bytes other than zeros and images a plain clip may hold in one place.
const MAX_FOREIGN: usize = 64 << 10;

/// Longest length prefix: digits and blanks.
const MAX_PREFIX: usize = 16;

/// Takes the next image off `rest`; `None` at the end.
fn next_plain(rest: &mut Bytes) -> Result<Option<Frame>, JpegError> {
    let mut foreign = 0;
    let mut at = 0;
    while let Some(byte) = rest.get(at) {
        if rest[at..].starts_with(&[0xff, 0xd8, 0xff]) {
            let frame = Frame::parse(rest.slice(at..))?;
            *rest = rest.slice(at + frame.data().len()..);
            return Ok(Some(frame));
        }
        foreign += usize::from(*byte != 0);
        if foreign > MAX_FOREIGN {
            return Err(JpegError::Foreign(MAX_FOREIGN));
        }
        at += 1;
    }
    Ok(None)
}

/// Takes the next length and its image off `rest`; `None` at the end.
fn next_prefixed(rest: &mut Bytes) -> Result<Option<Frame>, JpegError> {
    if rest.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0) {
        return Ok(None);
    }
    let prefix = rest.iter().take(MAX_PREFIX).take_while(|byte| is_prefix(**byte)).count();
    let wanted = std::str::from_utf8(&rest[..prefix]).ok().and_then(|digits| digits.trim().parse().ok());
    let wanted: usize = wanted.ok_or(JpegError::Length)?;
    let left = rest.len() - prefix;
    if wanted > left {
        return Err(JpegError::LengthBeyondEnd { wanted, left });
    }
    let image = rest.slice(prefix..prefix + wanted);
    *rest = rest.slice(prefix + wanted..);
    Frame::parse(image).map(Some)
}

fn is_prefix(byte: u8) -> bool {
    byte.is_ascii_digit() || byte.is_ascii_whitespace()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sample::Sample;
    use super::*;

    fn scans() -> [Vec<u8>; 3] {
        [b"one", b"two", b"six"].map(|scan| Sample::with_scan(scan).bytes())
    }

    fn files(clip: &Clip) -> Vec<Vec<u8>> {
        clip.frames().iter().map(|frame| frame.data().to_vec()).collect()
    }

    fn refusal(data: &[u8]) -> ClipError {
        Clip::parse(Bytes::copy_from_slice(data)).unwrap_err()
    }

    #[test]
    fn images_one_after_the_other_are_a_clip() {
        let clip = Clip::parse(scans().concat().into()).unwrap();
        assert_eq!(files(&clip), scans());
    }

    #[test]
    fn padding_and_part_headers_between_images_are_passed_over() {
        let [one, two, six] = scans();
        let zeros = vec![0; 3 * MAX_FOREIGN];
        let part = b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n";
        let data = [&part[..], &one, &zeros, &two, part, &six, b"\r\n--frame--\r\n"].concat();
        assert_eq!(files(&Clip::parse(data.into()).unwrap()), scans());
    }

    #[test]
    fn lengths_in_front_of_images_are_a_clip() {
        let [one, two, six] = scans();
        let (l1, l2, l3) = (one.len(), two.len(), six.len());
        let strict = [format!("{l1:05}").as_bytes(), &one, format!("{l2:05}").as_bytes(), &two].concat();
        assert_eq!(files(&Clip::parse(strict.into()).unwrap()), scans()[..2]);
        let prefixes = [format!("{l1:5}"), format!("{l2:08}\r\n"), format!("\n{l3}")];
        let [p1, p2, p3] = prefixes.each_ref().map(String::as_bytes);
        let lenient = [p1, &one, p2, &two, p3, &six, b"\n"].concat();
        assert_eq!(files(&Clip::parse(lenient.into()).unwrap()), scans());
    }

    #[test]
    fn a_length_may_count_padding_behind_the_image() {
        let [one, two, _] = scans();
        let (l1, l2) = (one.len() + 3, two.len());
        let data =
            [format!("{l1:05}").as_bytes(), &one, &[0; 3], format!("{l2:05}").as_bytes(), &two].concat();
        assert_eq!(files(&Clip::parse(data.into()).unwrap()), scans()[..2]);
    }

    #[test]
    fn frames_share_the_bytes_of_the_clip() {
        let data = Bytes::from(scans().concat());
        let range = data.as_ptr_range();
        let clip = Clip::parse(data.clone()).unwrap();
        assert!(clip.frames().iter().all(|frame| range.contains(&frame.data().as_ptr())));
    }

    #[test]
    fn a_refusal_names_the_frame_from_1_and_the_reason() {
        let progressive = Sample { frame_marker: 0xc2, ..Sample::default() }.bytes();
        let [one, two, _] = scans();
        let error = refusal(&[one, two, progressive].concat());
        assert_eq!(
            error.to_string(),
            "frame 3: progressive JPEG (SOF2); RTP carries baseline JPEG only (SOF0)"
        );
    }

    #[test]
    fn a_clip_without_images_is_refused() {
        for data in [&b""[..], &[0; 100], b"hello", b"\xff\xd8"] {
            assert_eq!(refusal(data), ClipError { frame: 1, reason: JpegError::Empty });
        }
        assert_eq!(refusal(b"00000").reason, JpegError::NoStart);
    }

    #[test]
    fn a_file_of_another_kind_is_refused_before_all_of_it_is_searched() {
        let data = vec![7; MAX_FOREIGN + 1];
        assert_eq!(refusal(&data), ClipError { frame: 1, reason: JpegError::Foreign(MAX_FOREIGN) });
        let behind = [&scans()[0], &data[..]].concat();
        assert_eq!(refusal(&behind).frame, 2);
    }

    #[test]
    fn a_clip_cut_short_is_refused() {
        let [one, two, _] = scans();
        let data = [one.clone(), two].concat();
        let error = refusal(&data[..data.len() - 1]);
        assert_eq!(error, ClipError { frame: 2, reason: JpegError::Truncated("picture data") });
        let left = one.len();
        let data = [format!("{:05}", left + 1).as_bytes(), &one].concat();
        assert_eq!(refusal(&data).reason, JpegError::LengthBeyondEnd { wanted: left + 1, left });
        assert_eq!(refusal(&[b"00003abc", &one[..]].concat()).reason, JpegError::NoStart);
        assert_eq!(refusal(b"12 34").reason, JpegError::Length);
    }

    #[test]
    fn the_bundled_clip_is_whole_moves_and_stays_under_2_mib() {
        assert!(include_bytes!("../demo.mjpeg").len() < 2 << 20);
        let clip = Clip::demo();
        assert_eq!(clip.frames().len(), 120);
        assert!(clip.frames().iter().all(|frame| (frame.width(), frame.height()) == (640, 360)));
        let around = clip.frames().iter().zip(clip.frames().iter().cycle().skip(1));
        assert!(around.into_iter().all(|(frame, next)| frame.data() != next.data()));
        let total: usize = clip.frames().iter().map(|frame| frame.data().len()).sum();
        assert_eq!(total, include_bytes!("../demo.mjpeg").len());
    }

    proptest! {
        #[test]
        fn no_data_makes_it_panic(data in proptest::collection::vec(any::<u8>(), 0..400), prefix in "[0-9 ]{0,6}") {
            let _ = Clip::parse([prefix.as_bytes(), &data].concat().into());
        }

        #[test]
        fn a_clip_cut_anywhere_has_whole_frames_or_is_refused(length in 1_usize..3000) {
            let mut data = scans().concat();
            data.truncate(length);
            if let Ok(clip) = Clip::parse(data.into()) {
                prop_assert!(scans().starts_with(&files(&clip)));
            }
        }
    }
}
