"""Names of files and folders that hold credentials. Imports nothing, for backends that start before the connection."""

from __future__ import annotations

# Names that hold credentials, each with the name of the folder that it has to be in; "": in any folder.
CREDENTIAL_NAMES = {
    ".ssh": "",
    ".gnupg": "",
    ".password-store": "",
    ".aws": "",
    ".azure": "",
    ".aliyun": "",
    ".tccli": "",
    ".oci": "",
    ".kube": "",
    ".kaggle": "",
    ".netrc": "",
    "_netrc": "",
    ".pypirc": "",
    ".npmrc": "",
    ".pgpass": "",
    ".my.cnf": "",
    ".boto": "",
    ".s3cfg": "",
    ".git-credentials": "",
    ".vault-token": "",
    "gcloud": ".config",
    "gh": ".config",
    "doctl": ".config",
    "rclone": ".config",
    "config.json": ".docker",
    "auth.json": ".docker",
    "credentials": ".cargo",
    "credentials.toml": ".cargo",
    "token": "huggingface",
    "stored_tokens": "huggingface",
}
