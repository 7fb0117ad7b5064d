// Reads {"open":[],"high":[],...} on stdin, writes what TA-Lib's C code makes of it:
// {"name": {"output": [...]}}, each output from its first defined value on.
import {readFileSync} from 'node:fs'
import {createRequire} from 'node:module'
const require = createRequire(import.meta.url)
const talib = require('talib-web')
const {high, low, close, volume} = JSON.parse(readFileSync(0, 'utf8'))
// It fetches its WASM, and fetch knows no files.
const wasm = readFileSync(require.resolve('talib-web/lib/talib.wasm')).toString('base64')
await talib.init('data:application/wasm;base64,' + wasm)
// talib-web's STOCH returns zeros, as its BBANDS and STDDEV are wrong from output 20 on: outputs that
// TA-Lib also uses as scratch space are broken. The last output of STOCHF is sound, and is the slow %K.
const stochastic = (period, slow, signal) => {
  const k = trim(talib.STOCHF({high, low, close, fastK_Period: period, fastD_Period: slow}).fastD)
  return {k: k.slice(signal - 1), d: Array.from(talib.SMA({inReal: k, timePeriod: signal}).output).slice(0, k.length - signal + 1)}
}
// Outputs are padded with zeros at the end, for as many bars as are undefined at the beginning; but talib-web
// goes one bar too far, so that the last value before the zeros is made of memory past the input.
function trim(a) {
  a = Array.from(a)
  while (a.length && a[a.length - 1] === 0) a.pop()
  a.pop()
  return a
}
const c = {inReal: close}, hlc = {high, low, close}
const out = {
  'sma(20)': talib.SMA({...c, timePeriod: 20}),
  'sma(50)': talib.SMA({...c, timePeriod: 50}),
  'sma(200)': talib.SMA({...c, timePeriod: 200}),
  'wma(20)': talib.WMA({...c, timePeriod: 20}),
  'ema(12)': talib.EMA({...c, timePeriod: 12}),
  'ema(26)': talib.EMA({...c, timePeriod: 26}),
  'ema(50)': talib.EMA({...c, timePeriod: 50}),
  'ema(200)': talib.EMA({...c, timePeriod: 200}),
  'ema(33)': talib.EMA({...c, timePeriod: 33}),
  'rsi(14)': talib.RSI({...c, timePeriod: 14}),
  'rsi(9)': talib.RSI({...c, timePeriod: 9}),
  'macd(12,26,9)': talib.MACD({...c, fastPeriod: 12, slowPeriod: 26, signalPeriod: 9}),
  'macd(5,35,5)': talib.MACD({...c, fastPeriod: 5, slowPeriod: 35, signalPeriod: 5}),
  'atr(14)': talib.ATR({...hlc, timePeriod: 14}),
  'atr(7)': talib.ATR({...hlc, timePeriod: 7}),
  'adx(14)': talib.ADX({...hlc, timePeriod: 14}),
  'plus_di(14)': talib.PLUS_DI({...hlc, timePeriod: 14}),
  'minus_di(14)': talib.MINUS_DI({...hlc, timePeriod: 14}),
  'stochastic(14,3,3)': stochastic(14, 3, 3),
  'stochastic(5,3,3)': stochastic(5, 3, 3),
  'roc(10)': talib.ROC({...c, timePeriod: 10}),
  'obv(0)': {output: Array.from(talib.OBV({...c, volume}).output)},
}
for (const [name, o] of Object.entries(out)) {
  if (!name.startsWith('obv') && !name.startsWith('stochastic')) for (const k of Object.keys(o)) o[k] = trim(o[k])
}
process.stdout.write(JSON.stringify(out))
