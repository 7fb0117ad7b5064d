package replay_test

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/feed/replay"
)

// TestVendors reads rows in the forms that vendors publish, beyond those of
// shared/cases.
func TestVendors(t *testing.T) {
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg  replay.Config
		text string
		want []string
	}{
		"Binance aggTrades without a header": {text: "26129,0.01633102,4.70443515,27781,27781,1498793709153,true,true\n26130,0.01633103,1,27782,27782,1498793709154,false,true\n",
			want: []string{"X 2017-06-30T03:35:09.153 0.01633102 4.70443515 sell", "X 2017-06-30T03:35:09.154 0.01633103 1 buy"}},
		"Binance trades without a header": {text: "28457,4.00000100,12.00000000,48.000012,1499865549590,true,true\n",
			want: []string{"X 2017-07-12T13:19:09.59 4.000001 12 sell"}},
		"Binance futures trades": {text: "id,price,qty,quote_qty,time,is_buyer_maker\n1,7180.1,0.5,3590.05,1577836800123,false\n",
			want: []string{"X 2020-01-01T00:00:00.123 7180.1 0.5 buy"}},
		"Kraken trades": {text: "1381095255,122.00000,0.10000000\n1381179030,123.61000,0.10000000\n",
			want: []string{"X 2013-10-06T21:34:15 122 0.1", "X 2013-10-07T20:50:30 123.61 0.1"}},
		"Kraken OHLCVT": {text: "1381095240,122.0,122.5,121.0,122.0,0.1,1\n1381095300,123.6,123.7,123.5,123.6,0.2,3\n",
			want: []string{"X 2013-10-06T21:34:00 122 122.5 121 122 0.1", "X 2013-10-06T21:35:00 123.6 123.7 123.5 123.6 0.2"}},
		"HistData M1": {text: "20120201 000000;1.306600;1.306700;1.306560;1.306610;0\n20120201 000100;1.306570;1.306570;1.306470;1.306560;0\n",
			want: []string{"X 2012-02-01T00:00:00 1.3066 1.3067 1.30656 1.30661 0", "X 2012-02-01T00:01:00 1.30657 1.30657 1.30647 1.30656 0"}},
		"MetaTrader bars": {text: "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n2024.01.02\t09:00:00\t1.5\t1.7\t1.4\t1.6\t20\t300\t2\n",
			want: []string{"X 2024-01-02T09:00:00 1.5 1.7 1.4 1.6 300"}},
		"MetaTrader 4 without a header": {text: "2012.02.01,00:00,1.306600,1.306700,1.306560,1.306610,7\n",
			want: []string{"X 2012-02-01T00:00:00 1.3066 1.3067 1.30656 1.30661 7"}},
		"Dukascopy": {text: "Gmt time,Open,High,Low,Close,Volume\n13.01.2024 00:00:00.000,1.5,1.7,1.4,1.6,120.5\n13.01.2024 00:01:00.000,1.6,1.7,1.5,1.6,10\n",
			want: []string{"X 2024-01-13T00:00:00 1.5 1.7 1.4 1.6 120.5", "X 2024-01-13T00:01:00 1.6 1.7 1.5 1.6 10"}},
		"Dukascopy ticks": {text: "Gmt time,Ask,Bid,AskVolume,BidVolume\n02.01.2024 00:00:00.123,1.6,1.5,2,3\n",
			want: []string{"X 2024-01-02T00:00:00.123 1.5 3"}},
		"CryptoDataDownload": {text: "https://www.CryptoDataDownload.com\nunix,date,symbol,open,high,low,close,Volume BTC,Volume USD\n1646092860,2022-03-01 00:01:00,BTC/USD,2,3,1,2,5,10\n1646092800,2022-03-01 00:00:00,BTC/USD,1,2,1,2,4,6\n",
			want: []string{"BTC/USD 2022-03-01T00:00:00 1 2 1 2 4", "BTC/USD 2022-03-01T00:01:00 2 3 1 2 5"}},
		"CryptoDataDownload, of 2020": {text: "https://www.CryptoDataDownload.com\nDate,Symbol,Open,High,Low,Close,Volume BTC,Volume USD\n2020-07-25 07-PM,BTCUSD,2,3,1,2,5,10\n2020-07-25 06-PM,BTCUSD,1,2,1,2,4,6\n",
			want: []string{"BTCUSD 2020-07-25T18:00:00 1 2 1 2 4", "BTCUSD 2020-07-25T19:00:00 2 3 1 2 5"}},
		"Alpaca bars": {text: "symbol,timestamp,open,high,low,close,volume,trade_count,vwap\nAAPL,2024-01-02 14:30:00+00:00,1,2,1,2,10,3,1.5\n",
			want: []string{"AAPL 2024-01-02T14:30:00 1 2 1 2 10"}},
		"Alpaca trades": {text: "symbol,timestamp,exchange,price,size,id,conditions,tape\nAAPL,2024-01-02 14:30:00.123456+00:00,V,185.5,100,7,\"['@', 'T']\",C\n",
			want: []string{"AAPL 2024-01-02T14:30:00.123456 185.5 100 @,T"}},
		"Alpaca raw": {text: "t,x,p,s,c,i,z\n2024-01-02T14:30:00.5Z,V,185.5,100,\"@,I\",7,C\n", want: []string{"X 2024-01-02T14:30:00.5 185.5 100 @,I"}},
		"Polygon day": {text: "ticker,volume,open,close,high,low,window_start,transactions\nA,10,1,2,3,0.5,1709269200000000000,4\n",
			want: []string{"A 2024-03-01T05:00:00 1 3 0.5 2 10"}},
		"Databento bars": {text: "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol\n1609160400000000000,33,1,5482,3720250000000,3721500000000,3720000000000,3721000000000,353,ESH1\n",
			want: []string{"ESH1 2020-12-28T13:00:00 3720.25 3721.5 3720 3721 353"}},
		"Databento, pretty": {text: "ts_event,rtype,publisher_id,instrument_id,action,side,price,size,sequence,symbol\n2020-12-28T13:00:00.006136513Z,0,1,5482,T,B,3720.250000000,1,5,ESH1\n2020-12-28T13:00:00.006136514Z,0,1,5482,A,B,3720.250000000,1,6,ESH1\n",
			want: []string{"ESH1 2020-12-28T13:00:00.006136 3720.25 1 buy"}},
		"Alpha Vantage": {text: "timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient\n2024-03-06,1,2,1,2,1.9,10,0.0000,1.0\n2024-03-05,1,2,1,2,1.9,20,0.0000,1.0\n",
			want: []string{"X 2024-03-05T00:00:00 1 2 1 2 20", "X 2024-03-06T00:00:00 1 2 1 2 10"}},
		"Stooq intraday": {text: "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\nAAPL.US,5,20240102,153000,1,2,1,2,10,0\nAAPL.US,5,20240102,153500,1,2,1,2,20,0\n",
			want: []string{"AAPL.US 2024-01-02T15:30:00 1 2 1 2 10", "AAPL.US 2024-01-02T15:35:00 1 2 1 2 20"}},
		"yfinance, two symbols": {text: "Price,Close,Close,High,High,Low,Low,Open,Open,Volume,Volume\nTicker,A,B,A,B,A,B,A,B,A,B\nDate,,,,,,,,,,\n2024-03-06,2,20,3,30,1,10,1,10,5,50\n2024-03-07,2,,3,,1,,1,,6,\n",
			want: []string{"A 2024-03-06T00:00:00 1 3 1 2 5", "B 2024-03-06T00:00:00 10 30 10 20 50", "A 2024-03-07T00:00:00 1 3 1 2 6"}},
		"yfinance, by symbol": {text: "Ticker,A,A,A,A,A\nPrice,Open,High,Low,Close,Volume\nDatetime,,,,,\n2024-03-06 09:30:00-05:00,1,3,1,2,5\n",
			want: []string{"A 2024-03-06T14:30:00 1 3 1 2 5"}},
		"days first": {text: "Date;Open;High;Low;Close;Volume\n12/03/2024;1.234,50;1.300,00;1.200,00;1.250,25;1,5K\n13/03/2024;1,5;2,5;1,5;2,0;10\n",
			want: []string{"X 2024-03-12T00:00:00 1234.5 1300 1200 1250.25 1500", "X 2024-03-13T00:00:00 1.5 2.5 1.5 2 10"}},
		"a header behind #": {text: "# made by us\n# time,price,size\n2024-01-02T10:00:00Z,5,1\n", want: []string{"X 2024-01-02T10:00:00 5 1"}},
		"sep line":          {text: "sep=;\ntime;price;size\n2024-01-02T10:00:00Z;5;1\n", want: []string{"X 2024-01-02T10:00:00 5 1"}},
		"footer":            {text: "Time,Open,High,Low,Last,Volume\n2024-01-02,1,2,1,2,10\n\"Downloaded from Barchart.com as of 01-03-2024 05:21am CST\"\n", want: []string{"X 2024-01-02T00:00:00 1 2 1 2 10"}},
		"newest first over the end of summer time": {cfg: replay.Config{Zone: newYork}, text: "time,open,high,low,close,volume\n2024-11-03 02:00,1,2,1,2,5\n2024-11-03 01:00,1,2,1,2,4\n2024-11-03 01:00,1,2,1,2,3\n2024-11-03 00:00,1,2,1,2,2\n",
			want: []string{"X 2024-11-03T04:00:00 1 2 1 2 2", "X 2024-11-03T05:00:00 1 2 1 2 3", "X 2024-11-03T06:00:00 1 2 1 2 4", "X 2024-11-03T07:00:00 1 2 1 2 5"}},
		"scale": {cfg: replay.Config{Scale: map[string]float64{"price": 1e-4, "size": 1e-2}}, text: "time,price,size\n2024-01-02,1234567,150\n", want: []string{"X 2024-01-02T00:00:00 123.4567 1.5"}},
		"ids that are no numbers": {text: "timestamp,symbol,side,size,price,trdMatchID,id\n1585180700.0647,BTCUSDT,Sell,0.042,6698.5,c8,a1b2-c3\n1585180700.0647,BTCUSDT,Sell,0.042,6698.5,c9,a1b2-c4\n",
			want: []string{"BTCUSDT 2020-03-25T23:58:20.0647 6698.5 0.042 sell", "BTCUSDT 2020-03-25T23:58:20.0647 6698.5 0.042 sell"}},
	} {
		if c.cfg.Symbol = "X"; strings.Contains(c.text, "ymbol") {
			c.cfg.Symbol = ""
		}
		ticks, _, err := read(t, c.cfg, c.text)
		if got := told(ticks); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v\n got %q\nwant %q", name, err, got, c.want)
		}
		// The same file in UTF-16, as some tools of Windows write it.
		wide := []byte{0xff, 0xfe}
		for _, u := range utf16.Encode([]rune(c.text)) {
			wide = binary.LittleEndian.AppendUint16(wide, u)
		}
		if again, _, err := read(t, c.cfg, string(wide)); err != nil || !slices.Equal(again, ticks) {
			t.Errorf("%s in UTF-16: %v, %q", name, err, told(again))
		}
	}
}

// TestCorrections reads the correction indicators of the US tapes.
func TestCorrections(t *testing.T) {
	const text = "ticker,correction,price,sequence_number,sip_timestamp,size\n" +
		"A,0,10,1,1709283600000000000,1\n" +
		"A,8,11,2,1709283601000000000,2\n" + // cancelled later
		"A,1,12,3,1709283602000000000,3\n" + // corrected late
		"A,10,11,4,1709283603000000000,2\n" + // says the first again
		"A,12,99,5,1709283604000000000,3\n"
	stored := []feed.Tick{
		{Symbol: "A", Venue: "FILE", TS: at("2024-03-01T09:00:01Z"), Price: 11, Size: 2, Seq: 2},
		{Symbol: "A", Venue: "FILE", TS: at("2024-03-01T09:00:02Z"), Price: 99, Size: 3, Seq: 3},
	}
	for name, c := range map[string]struct {
		stored []feed.Tick
		want   []string
	}{
		"the trades are stored": {stored, []string{"A 2024-03-01T09:00:00 10 1", "A 2024-03-01T09:00:01 0 0 cancel", "A 2024-03-01T09:00:02 12 3 correct"}},
		"nothing is stored":     {nil, []string{"A 2024-03-01T09:00:00 10 1", "A 2024-03-01T09:00:02 12 3"}},
	} {
		cfg := replay.Config{StoredIsAll: true, Stored: func(m []replay.Moment) (out []feed.Tick, err error) {
			for _, k := range c.stored {
				if k.TS == m[0].TS {
					out = append(out, k)
				}
			}
			return out, nil
		}}
		got, stats, err := read(t, cfg, text)
		if err != nil || !slices.Equal(told(got), c.want) || stats.Rows != 5 || stats.NoTrade != 5-int64(len(c.want)) {
			t.Errorf("%s: %q, %+v, %v; want %q", name, told(got), stats, err, c.want)
		}
	}
}

// TestVWAP: the vwap of a file is that of the ticks, and the volume is kept to the
// last digit.
func TestVWAP(t *testing.T) {
	for text, want := range map[string][2]float64{ // volume, notional
		"open,high,low,close,volume,vwap\n10,12,9,11,1000,10.5\n":         {1000, 10500},
		"open,high,low,close,volume,vwap\n0.3,0.7,0.1,0.2,0.3,0.123\n":    {0.3, 0.3 * 0.123},
		"open,high,low,close,volume,vwap\n10,12,9,11,1000,13\n":           {1000, 11000}, // no mean of these prices
		"open,high,low,close,volume,vwap\n10,10,10,10,7,10\n":             {7, 70},
		"open,high,low,close,volume,quote_volume\n10,12,9,11,1000,9900\n": {1000, 9900},
		"open,high,low,close,volume,quote_volume\n10,12,9,11,1000,1\n":    {1000, 11000},
		"open,high,low,close,volume,vwap\n10,12,9,11,0,10.5\n":            {0, 0},
	} {
		ticks := mustRead(t, replay.Config{Symbol: "X"}, "time,"+strings.Replace(text, "\n", "\n2024-01-02,", 1))
		volume, notional := 0.0, 0.0
		for _, k := range ticks {
			volume, notional = volume+k.Size, notional+k.Price*k.Size
		}
		if volume != want[0] || notional < want[1]*(1-1e-12) || notional > want[1]*(1+1e-12) {
			t.Errorf("%q: volume %v, notional %v; want %v", text, volume, notional, want)
		}
	}
}
