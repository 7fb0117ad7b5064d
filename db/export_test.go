package db

// What an instance that lives may be silent for.
const MaxSilence = beatEvery + askTimeout

const BeatEvery = beatEvery
