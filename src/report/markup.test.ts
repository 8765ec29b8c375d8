import { expect, test } from 'vitest';
import { decimal, figureLine, tickText } from './figure-text.js';
import { escapeText, html, trusted } from './markup.js';

test('text cannot become markup', () => {
  const attack = `"><script>alert('&')</script>`;
  expect(html`<p title="${attack}">${attack}</p>`.source).toBe(
    '<p title="&quot;&gt;&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;">&quot;&gt;&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;</p>',
  );
  expect(html`${trusted('<b>')}${['<', html`<i>`]}${null}${undefined}${false}${0}`.source).toBe('<b>&lt;<i>0');
});

test('characters that HTML forbids are replaced, others kept', () => {
  expect(escapeText('a\u0000b\u001fc\u0085d\ud800e\ufffff\tg\n😀')).toBe('a\ufffdb\ufffdc\ufffdd\ufffde\ufffdf\tg\n😀');
});

test('numbers are printed as papers print them', () => {
  expect([0.256, -0.256, 1, -1.005, 0, -0.001].map((v) => decimal(v))).toEqual(['.26', '−.26', '1.00', '−1.00', '.00', '.00']);
  expect([0.25, -0.30000000000000004, 10, 0].map(tickText)).toEqual(['.25', '−.3', '10', '0']);
});

test('a figure is told with its interval, null and p', () => {
  const figure = {
    value: -0.26,
    ci95: [-0.4, -0.1] as [number, number],
    null: { mean: 0, q025: -0.15, q975: 0.15 },
    p: 0.004975,
  };
  expect(figureLine(figure)).toBe('−.26 [−.40, −.10], chance [−.15, .15], p .005');
  expect(figureLine({ value: 0.0123, ci95: [0.01, 0.0149], p: 0.0001 })).toBe('.012 [.010, .015], p < .001');
  expect(figureLine({ value: null, why: 'no texts' })).toBe('empty: no texts');
});
