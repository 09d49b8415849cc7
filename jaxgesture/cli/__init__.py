"""The commands of `jaxgesture`, one thin module each."""
