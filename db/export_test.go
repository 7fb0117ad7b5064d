package db

// What an instance that lives may be silent for.
const MaxSilence = heartbeatEvery + askTimeout

const HeartbeatEvery = heartbeatEvery
