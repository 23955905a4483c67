//! Where an AMI stays, and with which key it is encrypted there.

use super::imaging::Imaging;
use super::options::ImageOptions;

impl ImageOptions {
    /// The regions that the AMI is copied to, each once and without the build region.
    pub(crate) fn copied_to(&self, home: &str) -> Vec<String> {
        let mut regions = Vec::new();
        for region in self.ami_regions.iter().filter(|region| *region != home) {
            if !regions.contains(region) {
                regions.push(region.clone());
            }
        }
        regions
    }

    /// The regions in which the AMI stays, the build region first.
    pub(crate) fn regions(&self, home: &str) -> Vec<String> {
        let at_home = (!self.skip_save_build_region).then(|| home.to_owned());
        at_home.into_iter().chain(self.copied_to(home)).collect()
    }

    /// The KMS key of a region for `encrypt_boot = true`; absent: the account's default key.
    pub(crate) fn key_in(&self, region: &str, home: &str) -> Option<&str> {
        let own = self.region_kms_key_ids.get(region).filter(|key| !key.is_empty());
        let of_home = self.kms_key_id.as_ref().filter(|_| region == home);
        own.or(of_home).map(String::as_str)
    }
}

impl Imaging<'_> {
    /// The KMS key of a region, as far as the AMI is encrypted by a copy.
    pub(crate) fn key_in(&self, region: &str) -> Option<&str> {
        let encrypts = self.options.encrypt_boot == Some(true);
        self.options
            .key_in(region, self.cloud.aws.region())
            .filter(|_| encrypts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_listed_once_and_have_their_own_keys() {
        let options: ImageOptions = serde_json::from_value(serde_json::json!({
            "ami_name": "n", "kms_key_id": "alias/home", "ami_regions": ["b", "a", "home", "b"],
            "region_kms_key_ids": {"a": "alias/a", "b": ""}
        }))
        .unwrap();
        assert_eq!(options.copied_to("home"), ["b", "a"]);
        let keys = ["home", "a", "b"].map(|region| options.key_in(region, "home"));
        assert_eq!(keys, [Some("alias/home"), Some("alias/a"), None]);
    }
}
