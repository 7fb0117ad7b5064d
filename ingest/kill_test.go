package ingest

func child() bool { return false }
