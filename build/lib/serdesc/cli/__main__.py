from serdesc.cli import entry

entry()
