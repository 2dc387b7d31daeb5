//! The key as it is sent. It comes from a file that may change while the process runs.

use super::Secret;
use reqwest::header::{HeaderName, HeaderValue, InvalidHeaderValue};
use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

/// How a request proves who sends it.
#[derive(Clone, Debug)]
pub struct Auth {
    /// Header name.
    pub header: HeaderName,
    /// Word before the key, may be empty.
    pub scheme: String,
    /// The key; without one no header is sent.
    pub key: Option<Secret>,
    /// The file that holds the key, if it came from one; it is read again when the API refuses the key.
    pub key_file: Option<PathBuf>,
}

/// The key that requests carry now.
pub(super) struct Credentials {
    auth: Auth,
    value: Mutex<Option<HeaderValue>>,
}

impl Credentials {
    pub(super) fn new(auth: &Auth) -> Result<Self, InvalidHeaderValue> {
        let value = auth.key.as_ref().map(|key| header(auth, key)).transpose()?;
        Ok(Self {
            auth: auth.clone(),
            value: Mutex::new(value),
        })
    }

    /// The header that a request carries, if any.
    pub(super) fn current(&self) -> Option<(HeaderName, HeaderValue)> {
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        Some((self.auth.header.clone(), value.clone()?))
    }

    /// Takes the key out of a text of the API's, which may repeat what it was sent, also as some libraries write it in JSON.
    pub(super) fn hide(&self, text: &str) -> String {
        let sent = self.current();
        let sent = sent.as_ref().and_then(|(_, value)| value.to_str().ok());
        let sent = sent.map(|text| text.strip_prefix(&self.auth.scheme).unwrap_or(text).trim());
        let first = self.auth.key.as_ref().map(|key| key.expose().trim());
        let mut hidden = text.to_owned();
        for key in sent.into_iter().chain(first).filter(|key| !key.is_empty()) {
            hidden = hidden
                .replace(key, "[key]")
                .replace(&key.replace('/', "\\/"), "[key]");
        }
        hidden
    }

    /// Another header than the one that the API refused, if there is one by now: the file is read again.
    pub(super) fn other_than(
        &self,
        refused: Option<&(HeaderName, HeaderValue)>,
    ) -> Option<(HeaderName, HeaderValue)> {
        let refused = refused.map(|(_, value)| value);
        let current = self.current();
        if current.as_ref().map(|(_, value)| value) != refused {
            // Another request found the new key already.
            return current;
        }
        let text = std::fs::read_to_string(self.auth.key_file.as_ref()?).ok()?;
        let key = Secret::new(text.trim());
        let value = header(&self.auth, &key)
            .ok()
            .filter(|_| !key.expose().is_empty())?;
        if Some(&value) == refused {
            return None;
        }
        tracing::info!(
            "the payments API refused the key; merchant.api_key_file holds another one, which is sent from now on"
        );
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = Some(value.clone());
        Some((self.auth.header.clone(), value))
    }
}

fn header(auth: &Auth, key: &Secret) -> Result<HeaderValue, InvalidHeaderValue> {
    let text = format!("{} {}", auth.scheme, key.expose());
    let mut value = HeaderValue::from_str(text.trim())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_again_when_its_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "old\n").unwrap();
        let auth = Auth {
            header: HeaderName::from_static("authorization"),
            scheme: "Bearer".into(),
            key: Some(Secret::new("old")),
            key_file: Some(file.clone()),
        };
        let credentials = Credentials::new(&auth).unwrap();
        let old = credentials.current();
        assert_eq!(old.as_ref().unwrap().1, "Bearer old");
        assert!(
            credentials.other_than(old.as_ref()).is_none(),
            "the same key"
        );
        for unusable in ["", "\n", "two\nlines"] {
            std::fs::write(&file, unusable).unwrap();
            assert!(
                credentials.other_than(old.as_ref()).is_none(),
                "{unusable:?}"
            );
        }
        std::fs::write(&file, "new\n").unwrap();
        let new = credentials.other_than(old.as_ref()).unwrap();
        assert_eq!(new.1, "Bearer new");
        assert!(!format!("{new:?}").contains("new"), "never printed");
        assert_eq!(credentials.current().unwrap().1, "Bearer new");
        let said = r#"{"authorization":"Bearer new","before":"old"}"#;
        let hidden = r#"{"authorization":"Bearer [key]","before":"[key]"}"#;
        assert_eq!(credentials.hide(said), hidden);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(
            credentials.other_than(old.as_ref()).unwrap().1,
            "Bearer new",
            "found by another request"
        );
        assert!(credentials.other_than(Some(&new)).is_none());
    }
}
