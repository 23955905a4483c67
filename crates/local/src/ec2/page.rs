//! Paging of Describe calls: `MaxResults`, `NextToken`.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::api_error::ApiError;
use crate::query::Parameters;

/// Which part of the items a call wants.
#[derive(Debug)]
pub(crate) struct Page {
    start: usize,
    size: Option<usize>,
}

/// What `MaxResults` may be.
const SIZES: std::ops::RangeInclusive<usize> = 1..=1000;

impl Page {
    /// Takes `MaxResults` and `NextToken`.
    pub(crate) fn take(parameters: &mut Parameters) -> Result<Page, ApiError> {
        let size = parameters.number("MaxResults")?;
        if let Some(size) = size.filter(|size| !SIZES.contains(size)) {
            return Err(ApiError::invalid_value("maxResults", &size.to_string()));
        }
        let start = match parameters.text("NextToken") {
            None => 0,
            Some(token) => {
                position(&token).ok_or_else(|| ApiError::new("InvalidNextToken", "The token is not valid"))?
            }
        };
        Ok(Page { start, size })
    }

    /// Cuts the page out of all items, and returns the token of the next one.
    pub(crate) fn cut<T>(self, items: Vec<T>) -> (Vec<T>, Option<String>) {
        let end = self
            .size
            .map_or(items.len(), |size| (self.start + size).min(items.len()));
        let next = (end < items.len()).then(|| BASE64_URL_SAFE_NO_PAD.encode(format!("after {end}")));
        (
            items
                .into_iter()
                .skip(self.start)
                .take(end.saturating_sub(self.start))
                .collect(),
            next,
        )
    }
}

fn position(token: &str) -> Option<usize> {
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    text.strip_prefix("after ")?
        .parse()
        .ok()
        .filter(|position| *position < usize::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(form: &str) -> Page {
        Page::take(&mut Parameters::parse(form.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn pages_follow_each_other_until_the_end() {
        let items = || (1..=5).collect::<Vec<u32>>();
        assert_eq!(page("").cut(items()), (items(), None));
        let (first, token) = page("MaxResults=3").cut(items());
        assert_eq!(first, [1, 2, 3]);
        let form = format!("MaxResults=3&NextToken={}", token.unwrap());
        assert_eq!(page(&form).cut(items()), (vec![4, 5], None));
    }

    #[test]
    fn wrong_tokens_and_sizes_are_refused() {
        for form in ["NextToken=x", "MaxResults=0", "MaxResults=1001", "MaxResults=x"] {
            assert!(
                Page::take(&mut Parameters::parse(form.as_bytes()).unwrap()).is_err(),
                "{form}"
            );
        }
    }
}
