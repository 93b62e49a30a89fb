package dev.mobileseg.core

private const val HALF = 0.5f

/** For each of `wanted` pixels: its two neighbours among `had`, and how far it lies towards the second. */
internal class Samples(
    had: Int,
    wanted: Int,
) {
    val low = IntArray(wanted)
    val high = IntArray(wanted)
    val share = FloatArray(wanted)

    /** Where stretches of pixels with the same neighbours start; the last one is the end. */
    val starts: IntArray

    init {
        for (pixel in 0 until wanted) {
            val place = ((pixel + HALF) * had / wanted - HALF).coerceIn(0f, had - 1f)
            low[pixel] = place.toInt()
            high[pixel] = minOf(low[pixel] + 1, had - 1)
            share[pixel] = place - low[pixel]
        }
        starts = ((0 until wanted).filter { it == 0 || low[it] != low[it - 1] } + wanted).toIntArray()
    }
}

/** For each of `wanted` pixels: the nearest of `had`, by pixel centres. */
internal fun nearest(
    had: Int,
    wanted: Int,
): IntArray = IntArray(wanted) { pixel -> minOf((2 * pixel + 1) * had / (2 * wanted), had - 1) }
