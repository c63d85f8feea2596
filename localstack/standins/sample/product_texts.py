"""The words of DimProduct: invented models, parts and descriptions in nine languages."""
# ruff: noqa: RUF001 (the Turkish letters are meant)

PART_MATERIALS = (
    ("Steel", "Silver"),
    ("Alloy", "Silver"),
    ("Carbon", "Black"),
    ("Nylon", "NA"),
    ("Brass", "Yellow"),
    ("Rubber", "Black"),
    ("Titanium", "Grey"),
)
PART_NAMES = (
    "Washer", "Bolt", "Spacer", "Shim", "Spring", "Sleeve", "Bushing", "Rivet", "Clip", "Pin", "Lock Nut",
    "Hex Nut", "Bearing", "Cup", "Cone", "Axle", "Collar", "Plate", "Bracket", "Ferrule", "Gasket", "Grommet",
    "Hook", "Lever", "Rod", "Screw", "Seal", "Tube End", "Cable Stop", "Thread Insert",
)  # fmt: skip

MODEL_NAMES = (
    "Fjord", "Cascade", "Drift", "Ember", "Falcon", "Glacier", "Heath", "Isar", "Juniper", "Kestrel",
    "Lagoon", "Mesa", "Nimbus", "Orbit", "Pine",
)  # fmt: skip

COLORS = (
    ("Black", "negro", "noir", (20, 20, 20)),
    ("Red", "rojo", "rouge", (200, 30, 40)),
    ("Silver", "plateado", "argenté", (192, 192, 192)),
    ("Blue", "azul", "bleu", (30, 80, 190)),
    ("Yellow", "amarillo", "jaune", (240, 210, 40)),
    ("White", "blanco", "blanc", (250, 250, 250)),
    ("Multi", "multicolor", "multicolore", (120, 160, 120)),
)

DESCRIPTIONS = {
    "Bikes": (
        "A light bike for long days on rough ground, with brakes that stop surely in the rain.",
        "Un vélo léger pour les longues journées sur terrain accidenté, avec des freins sûrs sous la pluie.",
        "一款轻便的自行车,适合整天骑行崎岖路面,雨天刹车依然可靠。",
        "دراجة خفيفة لأيام طويلة على الطرق الوعرة، بمكابح موثوقة تحت المطر.",
        "אופניים קלים לימים ארוכים בדרכים קשות, עם בלמים אמינים בגשם.",
        "จักรยานน้ำหนักเบาสำหรับเส้นทางขรุขระตลอดวัน เบรกไว้ใจได้แม้ฝนตก",
        "Ein leichtes Rad für lange Tage auf rauen Wegen, mit Bremsen, die auch bei Regen sicher greifen.",
        "荒れた道を一日走れる軽い自転車。雨の日でもブレーキは確実に効きます。",
        "Engebeli yollarda uzun günler için hafif bir bisiklet; frenleri yağmurda da güvenlidir.",
    ),
    "Components": (
        "A strong part, machined to close limits and easy to fit with common tools.",
        "Une pièce solide, usinée avec précision et facile à monter avec des outils courants.",
        "坚固的零件,加工精密,用普通工具即可安装。",
        "قطعة متينة مصنوعة بدقة، سهلة التركيب بأدوات عادية.",
        "רכיב חזק, מעובד בדיוק רב וקל להתקנה בכלים רגילים.",
        "ชิ้นส่วนแข็งแรง ผลิตอย่างแม่นยำ ติดตั้งง่ายด้วยเครื่องมือทั่วไป",
        "Ein festes Teil, genau gefertigt und mit üblichem Werkzeug leicht zu montieren.",
        "精密に加工された丈夫な部品。一般的な工具で簡単に取り付けられます。",
        "Hassas işlenmiş, sıradan aletlerle kolayca takılan sağlam bir parça.",
    ),
    "Clothing": (
        "Soft cloth that breathes, with flat seams and a pocket that closes.",
        "Un tissu doux qui respire, avec des coutures plates et une poche qui se ferme.",
        "柔软透气的面料,平整的接缝,带可闭合的口袋。",
        "قماش ناعم يسمح بمرور الهواء، بخياطة مسطحة وجيب يُغلق.",
        "בד רך ונושם, עם תפרים שטוחים וכיס נסגר.",
        "ผ้านุ่มระบายอากาศ ตะเข็บเรียบ มีกระเป๋าปิดได้",
        "Weicher, atmungsaktiver Stoff mit flachen Nähten und einer Tasche zum Schließen.",
        "やわらかく通気性のよい生地。縫い目は平らで、閉じられるポケット付き。",
        "Nefes alan yumuşak kumaş, düz dikişler ve kapanan bir cep.",
    ),
    "Accessories": (
        "Small, light and useful on every ride; mounts in a minute.",
        "Petit, léger et utile à chaque sortie ; se fixe en une minute.",
        "小巧轻便,每次骑行都用得上,一分钟即可装好。",
        "صغير وخفيف ومفيد في كل رحلة؛ يُركَّب في دقيقة.",
        "קטן, קל ושימושי בכל רכיבה; מותקן בתוך דקה.",
        "เล็ก เบา มีประโยชน์ทุกครั้งที่ปั่น ติดตั้งได้ในหนึ่งนาที",
        "Klein, leicht und auf jeder Fahrt nützlich; in einer Minute montiert.",
        "小さくて軽く、毎回の走行に役立ちます。取り付けは一分です。",
        "Küçük, hafif ve her sürüşte kullanışlı; bir dakikada takılır.",
    ),
}
"""By English category name, in the order of DimProduct: English, French, Chinese, Arabic, Hebrew, Thai, German, Japanese, Turkish."""
