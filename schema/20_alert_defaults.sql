-- Default rules. They are rows like any other: change them, disable them, delete
-- them.
INSERT INTO alert.rules
    (name, description, "interval", indicator, params, series, condition, threshold, upper, bars, cooldown, severity)
VALUES
    -- Of a price that has not moved the RSI says nothing, whatever TA-Lib's value is.
    ('rsi-above-70', 'RSI 14 says overbought.',
     '5m', 'rsi', '{"flat": 50}', 'rsi', 'above', 70, NULL, 1, '30 minutes', 'info'),
    ('rsi-below-30', 'RSI 14 says oversold.',
     '5m', 'rsi', '{"flat": 50}', 'rsi', 'below', 30, NULL, 1, '30 minutes', 'info'),
    ('golden-cross', 'The average of 50 bars crossed above that of 200.',
     '15m', 'trend', '{}', 'cross', 'above', 0, NULL, 1, '0', 'warning'),
    ('death-cross', 'The average of 50 bars crossed below that of 200.',
     '15m', 'trend', '{}', 'cross', 'below', 0, NULL, 1, '0', 'warning'),
    ('return-anomaly', 'The return of a bar is more than 4 standard deviations from usual.',
     '1m', 'zscore', '{}', 'zscore', 'outside', -4, 4, 1, '5 minutes', 'warning'),
    ('volume-spike', 'Four times the usual volume.',
     '1m', 'volume_spike', '{}', 'ratio', 'above', 4, NULL, 1, '5 minutes', 'info'),
    ('bollinger-breakout', 'The close is outside the Bollinger bands.',
     '5m', 'bollinger', '{}', 'percent_b', 'outside', 0, 1, 1, '30 minutes', 'info'),
    ('price-move', 'The close moved by 3 % in 15 minutes.',
     '1m', 'sma', '{"period": 1}', 'sma', 'changes', 3, NULL, 15, '15 minutes', 'critical');
