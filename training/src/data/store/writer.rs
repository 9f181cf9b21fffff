//! Writing a store: pixels as they come, index and header last, then the rename that makes it visible.

use std::fs::{self, File};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::format::{Header, Index, PIXELS_AT, SIDES};
use crate::data::DataError;

/// Writes a store picture by picture. Nothing stands at the path until [`StoreWriter::finish`].
#[derive(Debug)]
pub struct StoreWriter {
    path: PathBuf,
    partial: PathBuf,
    file: BufWriter<File>,
    side: u32,
    items: u64,
    hash: Box<blake3::Hasher>,
}

impl StoreWriter {
    /// Begins a store of pictures of `side` pixels that will stand at `path`.
    ///
    /// # Errors
    /// [`DataError::Options`] if the side is out of [`SIDES`], [`DataError::Io`] if the file cannot be made.
    pub fn create(path: &Path, side: u32) -> Result<Self, DataError> {
        if !SIDES.contains(&side) {
            let (low, high) = (SIDES.start(), SIDES.end());
            return Err(DataError::Options(format!("side is {side}; choose {low} to {high} pixels")));
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(DataError::io(folder))?;
        }
        let partial = path.with_added_extension("partial");
        let mut file = BufWriter::new(File::create(&partial).map_err(DataError::io(&partial))?);
        file.write_all(&[0; PIXELS_AT]).map_err(DataError::io(&partial))?;
        let hash = Box::new(blake3::Hasher::new());
        Ok(Self { path: path.to_owned(), partial, file, side, items: 0, hash })
    }

    /// Adds the next picture, `[side, side, 4]`, straight alpha.
    ///
    /// # Errors
    /// [`DataError::Options`] if its size is not that, [`DataError::Io`] if the disk is full.
    pub fn push(&mut self, rgba: &[u8]) -> Result<(), DataError> {
        let stride = u64::from(self.side).pow(2) * 4;
        if rgba.len() as u64 != stride {
            let reason = format!("a picture of {} bytes in a store of {stride} each", rgba.len());
            return Err(DataError::Options(reason));
        }
        self.hash.update(rgba);
        self.file.write_all(rgba).map_err(DataError::io(&self.partial))?;
        self.items += 1;
        Ok(())
    }

    /// Writes the index and puts the store in its place.
    ///
    /// # Errors
    /// [`DataError::Options`] if the index has another number of items than were pushed, [`DataError::Io`] if the disk
    /// is full.
    pub fn finish(mut self, index: &Index) -> Result<(), DataError> {
        if index.items.len() as u64 != self.items {
            let reason = format!("{} entries for {} pictures", index.items.len(), self.items);
            return Err(DataError::Options(reason));
        }
        let bytes = serde_json::to_vec(index)
            .map_err(|error| DataError::Malformed { path: self.path.clone(), reason: error.to_string() })?;
        let header = self.header(&bytes);
        self.seal(&header, &bytes).map_err(DataError::io(&self.partial))?;
        fs::rename(&self.partial, &self.path).map_err(DataError::io(&self.path))
    }

    fn header(&self, index: &[u8]) -> Header {
        Header {
            side: self.side,
            items: self.items,
            index_at: PIXELS_AT as u64 + self.items * u64::from(self.side).pow(2) * 4,
            index_len: index.len() as u64,
            index_hash: blake3::hash(index).into(),
            pixel_hash: self.hash.finalize().into(),
        }
    }

    fn seal(&mut self, header: &Header, index: &[u8]) -> std::io::Result<()> {
        self.file.write_all(index)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header.to_bytes())?;
        self.file.flush()?;
        self.file.get_ref().sync_all()
    }
}
